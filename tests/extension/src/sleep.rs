//! `sleep MS`, blocking code on threads of its own: it looks at its token, as well-behaved code does.
use primed::{Blocking, Verb, define};
use std::time::{Duration, Instant};

pub fn sleep() -> impl Verb {
    let lane = Blocking::new("sleep", 2);
    define("sleep MS", "how long it slept, in ms", move |call| {
        let wanted = Duration::from_millis(call.at_most(0, "MS", 60_000u32, "60000")?.into());
        Ok(lane.run(call, move |token| {
            assert!(wanted.as_millis() != 13, "this number is said to bring bad luck");
            let begun = Instant::now();
            while begun.elapsed() < wanted && !token.is_cancelled() {
                token.progress(begun.elapsed().as_secs_f64() / wanted.as_secs_f64());
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok((wanted.as_millis() as u64).into())
        }))
    })
}
