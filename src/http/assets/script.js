'use strict';
// The dashboard: polls /v1/info, draws it, and asks. It keeps the last two minutes and nothing else.
const byId = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const POINTS = 120;
const MAX_ROWS = 500;
const history = { rate: [], p50: [], p99: [], busy: [], memory: [] };
let before = null;

function push(series, value) {
  series.push(value);
  if (series.length > POINTS) series.shift();
}

function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function number(value) {
  if (value >= 1e6) return (value / 1e6).toFixed(1) + 'M';
  if (value >= 1e4) return (value / 1e3).toFixed(1) + 'k';
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}

function some(count, what) {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (!isFinite(seconds)) return '> 1 h';
  if (seconds < 0.001) return (seconds * 1e6).toFixed(0) + ' µs';
  if (seconds < 1) return (seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0) + ' ms';
  if (seconds < 120) return (Number.isInteger(seconds) ? seconds : seconds.toFixed(1)) + ' s';
  if (seconds < 7200) return (seconds / 60).toFixed(0) + ' min';
  if (seconds < 172800) return (seconds / 3600).toFixed(0) + ' h';
  return (seconds / 86400).toFixed(0) + ' d';
}

// The upper bound of the bucket that the quantile falls into; null if nothing was asked.
function quantile(bounds, counts, share) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    seen += counts[i];
    if (seen >= share * all) return i < bounds.length ? bounds[i] : Infinity;
  }
  return Infinity;
}

function shape(points, top, bottom) {
  const step = 240 / (POINTS - 1);
  const offset = POINTS - points.length;
  const runs = [];
  let run = [];
  points.forEach((value, i) => {
    if (value === null) {
      if (run.length) runs.push(run);
      run = [];
      return;
    }
    const share = Math.min(1, Math.max(0, (value - bottom) / (top - bottom)));
    run.push([(offset + i) * step, 61 - share * 56]);
  });
  if (run.length) runs.push(run);
  return runs;
}

function draw(id, series, top, bottom = 0) {
  const paths = [];
  series.forEach((points, index) => {
    for (const run of shape(points, top, bottom)) {
      const from = run[0], to = run[run.length - 1];
      const line = run.map(([x, y]) => x.toFixed(1) + ' ' + y.toFixed(1)).join(' L') || '';
      const whole = run.length > 1 ? 'M' + line : `M${(from[0] - 1).toFixed(1)} ${from[1].toFixed(1)} L` + line;
      if (series.length === 1) paths.push(['area', `${whole} L${to[0].toFixed(1)} 64 L${from[0].toFixed(1)} 64 Z`]);
      paths.push([index === 0 ? 'stroke' : 'stroke two', whole]);
    }
  });
  const chart = byId(id);
  chart.replaceChildren(...paths.map(([kind, d]) => {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('class', kind);
    path.setAttribute('d', d);
    return path;
  }));
  return chart;
}

function show(now) {
  const info = now.info;
  say('version', info.version);
  say('uptime', 'up ' + duration(Number(info.uptime_s)));
  setState(now.ready ? 'ready' : now.not_ready, now.ready ? 'good' : 'bad');
  const cpu = now.cpu_seconds.express + now.cpu_seconds.bulk + now.cpu_seconds.external;
  const at = performance.now() / 1000;
  const requests = Number(info.requests_total);
  push(history.memory, now.resident_bytes === null ? null : now.resident_bytes / 2 ** 20);
  if (before && requests >= before.requests) {
    const elapsed = at - before.at;
    const counts = now.latency.counts.map((count, i) => Math.max(0, count - before.counts[i]));
    const p50 = quantile(now.latency.bounds_seconds, counts, 0.5);
    const p99 = quantile(now.latency.bounds_seconds, counts, 0.99);
    const rate = (requests - before.requests) / elapsed;
    const busy = Math.max(0, (cpu - before.cpu) / elapsed);
    push(history.rate, rate);
    push(history.busy, busy);
    push(history.p50, p50 === null ? null : Math.log10(Math.min(p50, 3600)));
    push(history.p99, p99 === null ? null : Math.log10(Math.min(p99, 3600)));
    say('rate', number(rate));
    say('busy', busy.toFixed(1));
    say('p50', duration(p50));
    say('p99', duration(p99));
  }
  before = { at, requests, cpu, counts: now.latency.counts };
  const workers = Number(info.workers);
  say('workers', `of ${workers} cores busy`);
  say('rate-note', `${some(requests, 'request')}, ${some(Number(info.errors_total), 'error')}, ${some(Number(info.connections), 'connection')}`);
  say('jobs-note', `${now.jobs.running} running, ${now.jobs.queued} queued, ${now.jobs.parked} parked`);
  say('memory', now.resident_bytes === null ? '–' : number(now.resident_bytes / 2 ** 20));
  say('memory-note', `${number(now.plans_bytes / 2 ** 20)} MiB set aside for long jobs`);
  draw('rate-chart', [history.rate], Math.max(1, ...history.rate) * 1.1);
  draw('latency-chart', [history.p50, history.p99], 2, -4.3);
  draw('busy-chart', [history.busy], Math.max(workers, ...history.busy));
  draw('memory-chart', [history.memory], Math.max(1, ...history.memory.map(Number)) * 1.25);
  showSlow(now.slow);
}

function setState(text, kind) {
  say('state', text);
  byId('state').className = 'pill ' + kind;
}

function cell(row, kind, text) {
  const element = row.appendChild(document.createElement('td'));
  element.className = kind;
  element.textContent = text;
  element.title = text;
  return element;
}

function showSlow(all) {
  byId('no-slow').hidden = all.length > 0;
  byId('slow-region').hidden = all.length === 0;
  byId('slow').replaceChildren(...all.map(slow => {
    const row = document.createElement('tr');
    cell(row, '', new Date(slow.at).toLocaleTimeString());
    cell(row, 'question', slow.request);
    cell(row, slow.outcome === 'ok' ? '' : 'failed', slow.outcome);
    cell(row, '', slow.job === null ? String(slow.client) : `${slow.client}, job ${slow.job}`);
    cell(row, 'number', duration(slow.queue_seconds));
    cell(row, 'number', duration(slow.cpu_seconds));
    cell(row, 'number', duration(slow.wall_seconds));
    return row;
  }));
}

// The clients by their numbers, as rows of the table.
const clients = new Map();

function showClients(all) {
  byId('clients-card').hidden = false;
  const body = byId('clients');
  const seen = new Set(all.map(client => client.id));
  for (const client of all) {
    if (!clients.has(client.id)) clients.set(client.id, newClient(body, client));
    const row = clients.get(client.id);
    const [, , name, age, in_flight, requests] = row.children;
    name.textContent = [client.name, client.user].filter(text => text && text !== '-').join(', ');
    age.textContent = duration(Number(client.age_s));
    in_flight.textContent = client.in_flight;
    requests.textContent = number(Number(client.requests));
  }
  for (const [id, row] of clients) {
    if (!seen.has(id)) {
      row.remove();
      clients.delete(id);
    }
  }
}

function newClient(body, client) {
  const row = body.appendChild(document.createElement('tr'));
  cell(row, 'id', client.id);
  cell(row, '', client.address);
  cell(row, '', '');
  for (let i = 0; i < 3; i++) cell(row, 'number', '');
  const button = cell(row, '', '').appendChild(document.createElement('button'));
  button.type = 'button';
  button.className = 'small';
  button.textContent = 'Close';
  button.setAttribute('aria-label', `Close: client ${client.id} at ${client.address}`);
  button.addEventListener('click', () => kill(client).catch(() => announce('failed', LOST)));
  return row;
}

// The nodes of the cluster, this one first.
function showNodes(all) {
  byId('nodes-card').hidden = all.length === 0;
  byId('nodes').replaceChildren(...all.map(node => {
    const row = document.createElement('tr');
    cell(row, 'id', node.name);
    cell(row, node.state === 'up' ? '' : 'failed', node.state);
    cell(row, '', node.role === 'worker' ? 'works only' : 'takes in jobs');
    for (const figure of [node.workers, node.free, node.jobs, node.parts]) cell(row, 'number', number(Number(figure)));
    cell(row, 'number', node.heard);
    return row;
  }));
}

// Rows are kept and changed in place, so that the focus stays where it is.
const rows = new Map();

function showJobs(jobs) {
  byId('no-jobs').hidden = jobs.length > 0;
  byId('jobs-region').hidden = jobs.length === 0;
  const body = byId('jobs');
  const seen = new Set();
  jobs.forEach((job, index) => {
    const key = job.id === '-' ? `-${job.client} ${job.request} ${index}` : job.id;
    seen.add(key);
    if (!rows.has(key)) rows.set(key, newRow(job));
    const row = rows.get(key);
    update(row, job);
    if (body.children[index] !== row.row) body.insertBefore(row.row, body.children[index] || null);
  });
  for (const [key, row] of rows) {
    if (!seen.has(key)) {
      row.row.remove();
      rows.delete(key);
    }
  }
}

function newRow(job) {
  const row = document.createElement('tr');
  const is_submitted = job.id !== '-';
  cell(row, 'id', is_submitted ? job.id : 'asked');
  cell(row, 'question', job.request);
  const state = cell(row, '', '');
  const progress = cell(row, 'progress', '');
  const bar = document.createElement('div');
  bar.className = 'bar';
  const meter = bar.appendChild(document.createElement('progress'));
  meter.max = 100;
  meter.setAttribute('aria-label', `Progress of ${job.request}`);
  const note = bar.appendChild(document.createElement('span'));
  progress.appendChild(bar);
  const cpu = cell(row, 'number cpu', '');
  const actions = cell(row, '', '');
  const act = (name, does) => {
    const button = actions.appendChild(document.createElement('button'));
    button.type = 'button';
    button.className = 'small';
    button.textContent = name;
    button.setAttribute('aria-label', `${name}: job ${job.id}, ${job.request}`);
    button.addEventListener('click', does);
    return button;
  };
  const cancelling = is_submitted ? act('Cancel', () => cancel(job).catch(() => announce('failed', LOST))) : null;
  const result = is_submitted ? act('Result', () => read(job).catch(() => answer('failure', LOST))) : null;
  return { row, state, bar, meter, note, cpu, cancelling, result };
}

function update(row, job) {
  const goes_on = ['queued', 'parked', 'running'].includes(job.state);
  const state = job.error ? `${job.state}: ${job.error}` : job.state;
  if (row.state.textContent !== state) row.state.textContent = state;
  row.state.className = job.state === 'failed' ? 'failed' : '';
  const percent = job.state === 'done' ? 100 : Number((job.progress || {}).pct || 0);
  row.bar.hidden = !goes_on && job.state !== 'done';
  row.meter.value = percent;
  row.note.textContent = percent.toFixed(percent === 100 ? 0 : 1) + ' %' + (job.progress && job.progress.eta ? `, ${job.progress.eta} left` : '');
  row.cpu.textContent = job.cpu;
  if (row.cancelling) row.cancelling.hidden = !goes_on;
  if (row.result) row.result.hidden = goes_on || job.state === 'cancelled';
}

function answer(kind, text) {
  const place = byId('answer');
  place.hidden = false;
  if (place.childElementCount >= MAX_ROWS && kind === '') {
    if (place.dataset.full) return;
    place.dataset.full = 'yes';
    text = '… more rows come; they are not shown';
  }
  const line = place.appendChild(document.createElement('div'));
  line.className = kind;
  line.textContent = text;
}

function clearAnswer() {
  const place = byId('answer');
  place.replaceChildren();
  delete place.dataset.full;
}

function words(value) {
  if (value === null) return 'OK';
  return typeof value === 'object' ? Object.entries(value).map(([key, of]) => `${key} = ${of}`).join('\n') : value;
}

// A page that was opened with a password in its address must not ask by that address: the browser refuses it, and knows the password already.
const at = path => new URL(path, location.origin + location.pathname);

async function post(path, body, options = {}) {
  const headers = { 'Content-Type': 'application/json', ...(options.accept ? { Accept: options.accept } : {}) };
  return fetch(at(path), { method: 'POST', headers, body: JSON.stringify(body), signal: options.signal });
}

let asking = null;

async function ask(request) {
  if (asking) asking.abort();
  const mine = asking = new AbortController();
  clearAnswer();
  byId('stop').hidden = false;
  try {
    const response = await post('v1/ask', { request }, { accept: 'application/x-ndjson', signal: mine.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let left = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (left + value).split('\n');
      left = lines.pop();
      lines.filter(line => line !== '').forEach(line => hear(JSON.parse(line)));
    }
  } catch (error) {
    if (asking === mine) answer('failure', mine.signal.aborted ? 'stopped' : LOST);
  }
  if (asking === mine) {
    asking = null;
    byId('stop').hidden = true;
    byId('asking').hidden = true;
  }
}

function hear(event) {
  if (event.error !== undefined) answer('failure', `${event.error}: ${event.text}`);
  else if (event.row !== undefined) answer('', event.row);
  else if (event.value !== undefined) answer('value', words(event.value));
  else if (event.progress) {
    byId('asking').hidden = false;
    const { pct, eta } = event.progress;
    if (pct !== undefined) byId('asking-bar').value = Number(pct);
    say('asking-note', (pct === undefined ? 'waiting' : pct + ' %') + (eta ? `, ${eta} left` : ''));
  }
}

async function submit(request) {
  clearAnswer();
  const reply = await (await post('v1/jobs', { request })).json();
  if (reply.error) return answer('failure', `${reply.error}: ${reply.text}`);
  answer('value', `job ${reply.job} is submitted`);
  await refresh();
}

const LOST = 'the connection was lost';
const NEWS_MS = 20000;
let clearing = null;

// What became of a button that has no answer: shown for a while, and read out.
function announce(kind, text) {
  byId('news').className = kind;
  say('news', text);
  clearTimeout(clearing);
  clearing = setTimeout(() => say('news', ''), NEWS_MS);
}

function announceReply(reply, done) {
  if (reply.error) announce('failed', `${reply.error}: ${reply.text}`);
  else announce('', done);
}

async function cancel(job) {
  const reply = await (await fetch(at(`v1/jobs/${job.id}`), { method: 'DELETE' })).json();
  announceReply(reply, `job ${job.id} is cancelled`);
  await refresh();
}

async function read(job) {
  clearAnswer();
  const reply = await (await fetch(at(`v1/jobs/${job.id}/result?deadline=2s`))).json();
  answer('', `job ${job.id}: ${job.request}`);
  if (reply.error) answer('failure', `${reply.error}: ${reply.text}`);
  else answer('value', words(reply.value));
  byId('answer').focus();
}

async function kill(client) {
  const reply = await (await post('v1/ask', { request: `kill ${client.id}` })).json();
  announceReply(reply, `client ${client.id} is closed`);
  await refresh();
}

// A row of words like name=value.
const fields = row => Object.fromEntries(row.split(' ').map(word => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));

async function fetchInfo() {
  const response = await fetch(at('v1/info'));
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

// A list is null where the user may not see it, or it cannot be had now: then what was shown stays.
function showLists({ jobs, nodes, clients }) {
  if (jobs) showJobs(jobs);
  if (nodes) showNodes(nodes.map(fields));
  if (clients) showClients(clients.map(fields));
}

// After a button: the lists at once, and the charts in their turn.
async function refresh() {
  showLists((await fetchInfo()).lists);
}

async function poll() {
  try {
    const now = await fetchInfo();
    show(now);
    showLists(now.lists);
  } catch {
    before = null;
    setState('not reachable', 'bad');
  }
  setTimeout(poll, document.hidden ? 5000 : 1000);
}

byId('ask').addEventListener('submit', event => {
  event.preventDefault();
  ask(byId('question').value.trim());
});
byId('submit').addEventListener('click', () => {
  if (byId('ask').reportValidity()) submit(byId('question').value.trim()).catch(() => answer('failure', LOST));
});
byId('stop').addEventListener('click', () => asking && asking.abort());
poll();
