// node-redis against the primed on this port: in RESP2, in RESP3, as it connects by itself, and through its pool.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { createClient, createClientPool } = createRequire(`${process.env.CLIENTS}/npm/redis/`)('redis');
const socket = { port: Number(process.argv[2]) };

for (const options of [{ RESP: 3 }, { RESP: 2 }, {}]) {
  const primed = await createClient({ socket, ...options }).connect();
  const ask = (...words) => primed.sendCommand(words);
  assert.equal(await ask('nth', '100000'), 1299709);
  assert.equal(await ask('isprime', '2^127-1'), options.RESP === 2 ? 1 : true);
  assert.equal(BigInt(await ask('prev', '2^64')), 2n ** 64n - 59n);
  assert.deepEqual(await ask('primes', '100', '110'), [101, 103, 107, 109]);
  // The first time it is worked out, and pushes come before the answer.
  assert.equal(await ask('pi', '1e15', 'progress=100ms'), 29844570422669);
  await assert.rejects(ask('nht', '5'), /UNKNOWN-VERB no verb 'nht'/);
  await assert.rejects(ask('nth', 'x'), /BAD-ARG nth: N is 'x'/);
  await assert.rejects(primed.multi().addCommand(['nth', '5']).exec(), /DENIED there are no transactions/);

  // Requests of one turn of the event loop are a pipeline.
  const replies = await Promise.all(Array.from({ length: 1000 }, (_, index) => ask('nth', String(index + 1))));
  assert.equal(replies[999], 7919);

  const pool = await createClientPool({ socket, ...options }, { maximum: 10 }).connect();
  const some = Array.from({ length: 100 }, (_, index) => pool.sendCommand(['nth', String(index + 1)]));
  assert.equal((await Promise.all(some))[99], 541);
  pool.destroy();

  // Who hangs up stops what was asked.
  const underWay = async (count) => {
    const deadline = Date.now() + 20_000;
    while (!(await ask('info')).includes(`\njobs:${count}\r`)) assert(Date.now() < deadline, `never ${count} jobs`);
  };
  const impatient = await createClient({ socket, ...options }).connect();
  const lost = assert.rejects(impatient.sendCommand(['pi', '1e19']));
  await underWay(1);
  impatient.destroy();
  await lost;
  await underWay(0);
  primed.destroy();
}
console.log('fine');
// A connection that a pool was still making when it was destroyed stays open, and would keep this process for ever.
process.exit();
