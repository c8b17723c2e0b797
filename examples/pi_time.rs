//! Times whole counts: `pi_time X [WORKERS] [SLICE_US]`. Prints the count, wall time, CPU time and how long slices took.

#![allow(unsafe_code)]
use primed::job::{Budget, Pi, Plan};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

fn cpu_ns() -> u64 {
    #[repr(C)]
    struct Timespec(i64, i64);
    unsafe extern "C" {
        fn clock_gettime(id: i32, time: *mut Timespec) -> i32;
    }
    let mut time = Timespec(0, 0);
    unsafe { clock_gettime(3, &mut time) };
    (time.0 * 1_000_000_000 + time.1) as u64
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let x = args[1]
        .parse::<u64>()
        .unwrap_or_else(|_| args[1].parse::<f64>().unwrap() as u64);
    let workers: usize = args.get(2).map_or(1, |a| a.parse().unwrap());
    let slice = Duration::from_micros(args.get(3).map_or(2000, |a| a.parse().unwrap()));
    if workers == 0 {
        for _ in 0..3 {
            let cpu = cpu_ns();
            for i in 0..1000 {
                std::hint::black_box(primed::job::run_to_end(&mut Pi::new(x + i)));
            }
            eprintln!("{} ns a count", (cpu_ns() - cpu) / 1000);
        }
        return;
    }
    let start = Instant::now();
    let shared = Arc::new((
        Mutex::new((
            Pi::new(x),
            0_usize,
            Vec::<(&'static str, u64)>::new(),
            Vec::<(u64, f64)>::new(),
        )),
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
                            let kind = "all";
                            let begin = Instant::now();
                            let cpu = cpu_ns();
                            let partial = Pi::run(unit, Budget::new(&|| begin.elapsed() >= slice));
                            let took = (cpu_ns() - cpu) / 1000;
                            state = mutex.lock().unwrap();
                            state.0.absorb(partial);
                            state.1 -= 1;
                            state.2.push((kind, took));
                            let sum = state.3.last().map_or(0, |l| l.0) + took;
                            let progress = state.0.progress();
                            state.3.push((sum, progress));
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
    let total = state.3.last().unwrap().0 as f64;
    let ratios = state
        .3
        .iter()
        .filter(|(t, p)| *p >= 0.1 && *p < 0.97 && (*t as f64) < total)
        .map(|&(t, p)| (t as f64 * (1.0 - p) / p / (total - t as f64), p, t as f64 / total));
    let list: Vec<_> = ratios.collect();
    for i in 0..12 {
        if let Some((r, p, t)) = list.get(i * list.len() / 12) {
            eprintln!("progress {p:.3} time {t:.3} ratio {r:.2}");
        }
    }
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
    let cpu: u64 = times.iter().sum();
    eprintln!("cpu {:.4} s", cpu as f64 / 1e6);
    eprintln!(
        "wall {:.4} s, {} slices: p50 {} p99 {} max {} us",
        wall.as_secs_f64(),
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
