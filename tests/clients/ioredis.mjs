// ioredis against the primed on this port: in RESP2, in RESP3, and as it connects by itself (it asks INFO whether the server is ready).
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { Redis } = createRequire(`${process.env.CLIENTS}/npm/ioredis/`)('ioredis');
const port = Number(process.argv[2]);

for (const options of [{ protocol: 3 }, { protocol: 2 }, {}]) {
  const primed = new Redis({ port, ...options });
  assert.equal(await primed.call('nth', '100000'), 1299709);
  assert.equal(await primed.call('isprime', '2^127-1'), 1);
  assert.equal(BigInt(await primed.call('prev', '2^64')), 2n ** 64n - 59n);
  assert.deepEqual(await primed.call('primes', '100', '110'), [101, 103, 107, 109]);
  // The first time it is worked out, and pushes come before the answer.
  assert.equal(await primed.call('pi', '1e15', 'progress=100ms'), 29844570422669);
  await assert.rejects(primed.call('nht', '5'), /UNKNOWN-VERB no verb 'nht'/);
  await assert.rejects(primed.call('nth', 'x'), /BAD-ARG nth: N is 'x'/);
  await assert.rejects(primed.multi().call('nth', '5').exec(), /DENIED there are no transactions/);
  await assert.rejects(primed.subscribe('news'), /UNKNOWN-VERB/);

  const pipeline = primed.pipeline();
  for (let n = 1; n <= 1000; n++) pipeline.call('nth', n);
  const replies = await pipeline.exec();
  assert.deepEqual(replies[999], [null, 7919]);

  // Who gives up waiting does not stop the work; who hangs up does.
  const underWay = async (count) => {
    const deadline = Date.now() + 20_000;
    while (!(await primed.info()).includes(`\njobs:${count}\r`)) assert(Date.now() < deadline, `never ${count} jobs`);
  };
  const impatient = new Redis({ port, commandTimeout: 500, ...options });
  await assert.rejects(impatient.call('pi', '1e19'), /timed out/);
  await underWay(1);
  impatient.disconnect();
  await underWay(0);

  primed.disconnect();
}
console.log('fine');
