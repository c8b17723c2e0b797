//! A simulated client: says a random script in random pieces, and checks every line that comes back.

use super::Fate;
use super::network::{connect, vanish};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// No reply takes longer, unless the network lost something.
const LONGEST: Duration = Duration::from_secs(120);

/// Talks to the daemon on a few connections, one after the other.
pub(super) async fn live(name: String, mut random: fastrand::Rng, fate: Rc<Fate>) -> turmoil::Result {
    let mut submitted = None;
    for _ in 0..random.usize(1..4) {
        sleep(Duration::from_millis(random.u64(..3_000))).await;
        match timeout(LONGEST, connect()).await {
            Ok(Ok(stream)) => converse(stream, &name, &mut random, &fate, &mut submitted).await,
            Ok(Err(error)) => fate.note(&name, error),
            Err(_) => fate.note(&name, "cannot connect"),
        }
    }
    Ok(())
}

async fn converse(
    stream: TcpStream,
    name: &str,
    random: &mut fastrand::Rng,
    fate: &Fate,
    submitted: &mut Option<(u64, u64)>,
) {
    let script = Script::write(random, *submitted);
    let ending = script.ending;
    fate.note(name, format_args!("connects and will say {:?}", script.text));
    let address = stream.local_addr();
    let (input, output) = stream.into_split();
    let mut checker = Checker::new(script.asks, script.tagged);
    let mut speaker = random.fork();
    let talk = async {
        tokio::join!(
            speak(output, &script.text, &mut speaker, ending),
            listen(input, &mut checker, random, name, fate, ending),
        )
    };
    let patience = match ending {
        Ending::Vanishes(after) => after,
        _ => LONGEST,
    };
    let over = timeout(patience, talk).await;
    if let (Ending::Vanishes(_), Ok(address)) = (ending, address) {
        vanish(address);
    }
    let may_miss = fate.is_ending.get() || fate.is_torn.get() || matches!(ending, Ending::Vanishes(_));
    match over {
        Ok((output, Err(fault))) => {
            drop(output);
            fate.fault(format!("{name}: {fault}"));
        }
        _ if checker.left() > 0 && !may_miss => {
            fate.fault(format!("{name}: {} replies did not come", checker.left()));
        }
        _ => {}
    }
    *submitted = checker.submitted.or(*submitted);
    fate.note(name, format_args!("is done; {} unanswered", checker.left()));
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Says that it will send no more, and waits for its replies.
    HalfCloses,
    /// Says so in the middle of a line.
    Breaks,
    /// Says `quit`.
    Quits,
    /// Is gone without a word after a while.
    Vanishes(Duration),
}

/// Sends the script in pieces. Gives the half back, so that it is not closed before everything is read.
async fn speak(mut output: OwnedWriteHalf, text: &str, random: &mut fastrand::Rng, ending: Ending) -> OwnedWriteHalf {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (piece, remaining) = rest.split_at(random.usize(1..=rest.len()));
        rest = remaining;
        if output.write_all(piece).await.is_err() {
            return output;
        }
        if random.bool() {
            sleep(Duration::from_millis(random.u64(..200))).await;
        }
    }
    if matches!(ending, Ending::HalfCloses | Ending::Breaks) {
        let _ = output.shutdown().await;
    }
    output
}

async fn listen(
    input: OwnedReadHalf,
    checker: &mut Checker,
    random: &mut fastrand::Rng,
    name: &str,
    fate: &Fate,
    ending: Ending,
) -> Result<(), String> {
    let dawdles = random.u32(..4) == 0;
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        fate.note(name, &line);
        checker.take(&line, fate)?;
        if dawdles {
            sleep(Duration::from_millis(random.u64(..300))).await;
        }
    }
    // The end of a connection that nobody asked for is a fault too: `left` shows it.
    if matches!(ending, Ending::Vanishes(_)) {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// What is asked, and what may come back.
#[derive(Clone, Debug)]
enum Ask {
    /// This very line.
    Exactly(String),
    /// A line that begins so.
    Begins(&'static str),
    /// These primes as rows, and how many.
    Rows(VecDeque<String>, usize),
    /// A job of this many slices: progress, and then its number.
    Work(u64),
    /// The ID of a submitted job of this many slices.
    Submit(u64),
    /// The answer of one submitted before, or `no-job` if it is forgotten since.
    Result(u64),
}

struct Script {
    text: String,
    asks: VecDeque<Ask>,
    tagged: BTreeMap<String, Ask>,
    ending: Ending,
}

impl Script {
    fn write(random: &mut fastrand::Rng, submitted: Option<(u64, u64)>) -> Self {
        let mut script = Self {
            text: String::new(),
            asks: VecDeque::new(),
            tagged: BTreeMap::new(),
            ending: Ending::HalfCloses,
        };
        if let Some((id, slices)) = submitted {
            script.say(None, &format!("result {id}"), Ask::Result(slices));
        }
        for index in 0..random.usize(1..30) {
            script.add(index, random);
        }
        script.ending = match random.u32(..5) {
            0 => Ending::Quits,
            1 => Ending::Breaks,
            2 => Ending::Vanishes(Duration::from_millis(random.u64(..4_000))),
            _ => Ending::HalfCloses,
        };
        match script.ending {
            Ending::Quits => script.say(None, "quit", Ask::Exactly("OK bye".into())),
            // Without an end of its own: it has to end with its client.
            Ending::Vanishes(_) => script.say(Some("endless".into()), "work 3e9", Ask::Work(3_000_000_000)),
            Ending::Breaks => {
                script.text.push_str("pi 1");
                script.asks.push_back(Ask::Begins("ERR truncated"));
            }
            Ending::HalfCloses => {}
        }
        script
    }

    fn say(&mut self, tag: Option<String>, words: &str, ask: Ask) {
        match tag {
            Some(tag) => {
                let _ = writeln!(self.text, "@{tag} {words}");
                self.tagged.insert(tag, ask);
            }
            None => {
                let _ = writeln!(self.text, "{words}");
                self.asks.push_back(ask);
            }
        }
    }

    fn add(&mut self, index: usize, random: &mut fastrand::Rng) {
        let tag = (random.u32(..3) == 0).then(|| format!("t{index}"));
        match random.u32(..9) {
            0 => self.say(tag, "nth 10", Ask::Exactly("OK 29".into())),
            1 => self.say(tag, "pi 1e6", Ask::Exactly("OK 78498".into())),
            2 => self.say(tag, "what 5", Ask::Begins("ERR unknown-verb")),
            3 => {
                let slices = random.u64(1..4);
                self.say(tag, &format!("work {slices} fails"), Ask::Begins("ERR internal"));
            }
            4 => self.say(tag, "work 1e9 deadline=30ms", Ask::Begins("ERR deadline")),
            5 => {
                let low = random.u64(..5_000);
                let last = low + random.u64(..3_000);
                let primes: VecDeque<String> = (low..last).filter(is_prime).map(|prime| prime.to_string()).collect();
                let count = primes.len();
                self.say(tag, &format!("primes {low} {last}"), Ask::Rows(primes, count));
            }
            6 => {
                let tag = format!("c{index}");
                self.say(Some(tag.clone()), "work 2e9", Ask::Begins("ERR cancelled"));
                self.say(None, &format!("cancel @{tag}"), Ask::Exactly("OK".into()));
            }
            7 => {
                let slices = random.u64(1..60);
                self.say(None, &format!("submit work {slices}"), Ask::Submit(slices));
            }
            _ => {
                let slices = random.u64(..150);
                self.say(tag, &format!("work {slices} progress=100ms"), Ask::Work(slices));
            }
        }
    }
}

fn is_prime(n: &u64) -> bool {
    *n > 1 && (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d))
}

/// Checks the lines of a connection against what was asked.
struct Checker {
    asks: VecDeque<Ask>,
    tagged: BTreeMap<String, Ask>,
    /// How far each question said it was.
    percent: BTreeMap<String, f64>,
    /// The ID of a submitted job and how many slices it takes.
    submitted: Option<(u64, u64)>,
}

impl Checker {
    fn new(asks: VecDeque<Ask>, tagged: BTreeMap<String, Ask>) -> Self {
        Self {
            asks,
            tagged,
            percent: BTreeMap::new(),
            submitted: None,
        }
    }

    /// How many replies have not come.
    fn left(&self) -> usize {
        self.asks.len() + self.tagged.len()
    }

    fn take(&mut self, line: &str, fate: &Fate) -> Result<(), String> {
        if line.ends_with("; closing the connection") && line.contains("ERR truncated :") {
            // A link that stalled kept the rest of a request: the end of the connection says whether that may be.
            return Ok(());
        }
        let unexpected = || format!("nobody asked for {line:?}");
        let (tag, words) = match line.strip_prefix('@') {
            Some(tagged) => tagged.split_once(' ').ok_or_else(unexpected)?,
            None => ("", line),
        };
        let ask = match tag {
            "" => self.asks.front_mut(),
            tag => self.tagged.get_mut(tag),
        };
        let ask = ask.ok_or_else(unexpected)?;
        if words.starts_with(['=', '*']) {
            return interim(words, ask, self.percent.entry(tag.to_owned()).or_default());
        }
        let refused = fate.is_ending.get() && (words.starts_with("ERR draining") || words.starts_with("ERR cancelled"))
            || fate.is_crowded.get() && (words.starts_with("ERR busy") || words.starts_with("ERR no-job"))
            || (fate.is_deadly.get() || fate.has_failpoints.get())
                && (words.starts_with("ERR internal") || words.starts_with("ERR no-job"));
        let is_right = match ask {
            Ask::Exactly(text) => words == text,
            Ask::Begins(text) => words.starts_with(*text),
            Ask::Rows(left, count) => left.is_empty() && words == format!("OK {count}"),
            Ask::Work(slices) => words == format!("OK {slices}"),
            // Also if the daemon has crashed in the meantime: its ID was sent, so the disk had the job.
            Ask::Result(slices) => words == format!("OK {slices}"),
            Ask::Submit(slices) => match words.strip_prefix("OK job=").and_then(|id| id.parse().ok()) {
                Some(id) => {
                    self.submitted = Some((id, *slices));
                    true
                }
                None => false,
            },
        };
        if !is_right && !refused {
            return Err(format!("{line:?} is no answer to {ask:?}"));
        }
        self.percent.remove(tag);
        match tag {
            "" => drop(self.asks.pop_front()),
            tag => drop(self.tagged.remove(tag)),
        }
        Ok(())
    }
}

fn interim(words: &str, ask: &mut Ask, percent: &mut f64) -> Result<(), String> {
    match ask {
        Ask::Rows(left, _) if words.starts_with("= ") => {
            let is_next = |prime: &str| left.pop_front().is_some_and(|next| next == prime);
            let all_are = words[2..].split(' ').all(is_next);
            all_are
                .then_some(())
                .ok_or_else(|| format!("{words:?} are not the next primes"))
        }
        Ask::Work(_) if words.starts_with("* stalled=") => Ok(()),
        Ask::Work(_) => {
            let now = words
                .strip_prefix("* pct=")
                .and_then(|rest| rest.split(' ').next()?.parse().ok());
            let now: f64 = now.ok_or_else(|| format!("{words:?} is no progress"))?;
            let falls = now < *percent;
            *percent = now;
            (!falls)
                .then_some(())
                .ok_or_else(|| format!("{words:?} is less than before"))
        }
        _ => Err(format!("{words:?} was not asked for by {ask:?}")),
    }
}
