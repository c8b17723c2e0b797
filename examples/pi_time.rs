//! Times whole counts: `pi_time X [WORKERS] [SLICE_US]`. Prints the count, wall time, CPU time and how long slices took.

use primed::job::{Budget, Pi, Plan};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let x = args[1]
        .parse::<u64>()
        .unwrap_or_else(|_| args[1].parse::<f64>().unwrap() as u64);
    let workers: usize = args.get(2).map_or(1, |a| a.parse().unwrap());
    let slice = Duration::from_micros(args.get(3).map_or(2000, |a| a.parse().unwrap()));
    let start = Instant::now();
    let shared = Arc::new((
        Mutex::new((Pi::new(x), 0_usize, Vec::<(&'static str, u64)>::new())),
        Condvar::new(),
    ));
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let (mutex, changed) = &*shared;
                let mut state = mutex.lock().unwrap();
                loop {
                    match state.0.cut() {
                        Some(unit) => {
                            state.1 += 1;
                            drop(state);
                            let kind = unit.kind();
                            let begin = Instant::now();
                            let cpu = cpu_ns();
                            let partial = Pi::run(unit, Budget::new(&|| begin.elapsed() >= slice));
                            let took = (cpu_ns() - cpu) / 1000;
                            state = mutex.lock().unwrap();
                            state.0.absorb(partial);
                            state.1 -= 1;
                            state.2.push((kind, took));
                            changed.notify_all();
                        }
                        None if state.1 == 0 => return,
                        None => state = changed.wait(state).unwrap(),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let wall = start.elapsed();
    let mut state = shared.0.lock().unwrap();
    println!("{:?}", state.0.answer());
    let mut times = std::mem::take(&mut state.2);
    let mut kinds = std::collections::BTreeMap::<&str, (u64, u64, u64)>::new();
    for &(kind, took) in &times {
        let entry = kinds.entry(kind).or_default();
        *entry = (entry.0 + 1, entry.1 + took, entry.2.max(took));
    }
    for (kind, (count, total, most)) in kinds {
        eprintln!("{kind:>12} {count:>6} slices {total:>9} us, longest {most}");
    }
    let mut times: Vec<u64> = times.into_iter().map(|(_, took)| took).collect();
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize];
    eprintln!(
        "wall {:.4} s, {} slices: p50 {} p99 {} max {} us",
        wall.as_secs_f64(),
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
