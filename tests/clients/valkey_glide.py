"""valkey-glide against the primed on this port. It asks INFO REPLICATION before anything else."""

import asyncio
import sys

from glide import Batch, GlideClient, GlideClientConfiguration, NodeAddress, ProtocolVersion, RequestError


async def ask_all(protocol):
    address = NodeAddress("127.0.0.1", int(sys.argv[1]))
    primed = await GlideClient.create(GlideClientConfiguration([address], protocol=protocol, request_timeout=60_000))
    assert await primed.custom_command(["nth", "100000"]) == 1299709
    assert await primed.custom_command(["isprime", "2^127-1"]) == 1
    assert await primed.custom_command(["primes", "100", "110"]) == [101, 103, 107, 109]
    # The first time it is worked out, and pushes come before the answer.
    assert await primed.custom_command(["pi", "1e15", "progress=100ms"]) == 29844570422669
    pipeline = Batch(is_atomic=False)
    for n in range(1, 1001):
        pipeline.custom_command(["nth", str(n)])
    assert (await primed.exec(pipeline, raise_on_error=True))[-1] == 7919
    try:
        await primed.custom_command(["nht", "5"])
        raise SystemExit("an unknown verb was answered")
    except RequestError as error:
        assert str(error).startswith("UNKNOWN-VERB"), error
    await primed.close()


for protocol in (ProtocolVersion.RESP3, ProtocolVersion.RESP2):
    asyncio.run(ask_all(protocol))
print("fine")
