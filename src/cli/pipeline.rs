//! Requests that are sent before those ahead of them are answered: how many at once, which line of the input each reply
//! answers, and when a request that found the daemon busy is sent again. Knows no socket and no clock.
//!
//! The daemon answers requests without a tag in the order in which they came, so one that is sent again is answered
//! after the others. Their replies are held back meanwhile: what is printed is in the order of the lines.

use crate::Limits;
use crate::client::ReplyLine;
use crate::proto::{Code, ParsedLine, Tag, parse_line};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Requests without a tag that are sent at first without a reply. As many slow ones (300 digits, 3 ms each) keep all
/// workers of a machine at work, and none of them waits long enough to be refused.
const FEWEST: usize = 64;

/// Half of the requests were answered in less: they are quick, and more may be on their way. With 64 at a time, a file
/// of quick ones takes two to four times as long as with 1,024.
const QUICK: Duration = Duration::from_millis(20);

/// Half of the requests took longer.
const SLOW: Duration = Duration::from_millis(200);

/// For how long a request that finds the daemon busy is sent again, unless its deadline is sooner.
const PATIENCE: Duration = Duration::from_secs(60);

/// When it is sent again if the daemon does not say when.
const RETRY: Duration = Duration::from_secs(1);

/// Replies that are held back have at most as many bytes. Then the request that they wait for is given up.
const MOST_HELD: usize = 64 << 20;

/// A line of the input.
pub(super) struct Line {
    words: Vec<u8>,
    tag: Option<Tag>,
    stops_another: bool,
    /// Whether it is no request: the daemon refuses it at once, even if its tag is in use.
    is_broken: bool,
    /// For how long it is sent again.
    patience: Duration,
    /// Lines of its reply that wait for those of an earlier line.
    held: Vec<String>,
    stage: Stage,
    has_rows: bool,
    /// When it found the daemon busy first, and what the daemon said last.
    busy: Option<(Instant, String)>,
}

/// How far a line is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// The daemon has it, or will.
    Sent,
    /// It found the daemon busy, and is to be sent again.
    Refused,
    /// The last line of its reply is there.
    Answered,
}

impl Line {
    /// A line as it is sent; `None` for one that gets no reply.
    pub(super) fn new(words: &[u8]) -> Option<Self> {
        let mut line = Self {
            words: words.to_vec(),
            tag: None,
            stops_another: false,
            is_broken: false,
            patience: PATIENCE,
            held: Vec::new(),
            stage: Stage::Sent,
            has_rows: false,
            busy: None,
        };
        match parse_line(words.trim_ascii_end()) {
            Ok(ParsedLine::Blank) => return None,
            Ok(ParsedLine::Http) => {}
            Ok(ParsedLine::Request(request)) => {
                line.tag = request.format.tag;
                line.stops_another = request.verb.eq_ignore_ascii_case("cancel");
                let deadline = request.option("deadline").map(humantime::parse_duration);
                if let Some(Ok(deadline)) = deadline {
                    line.patience = PATIENCE.min(deadline);
                }
                // Each attempt may count as a wrong password.
                if request.verb.eq_ignore_ascii_case("auth") {
                    line.patience = Duration::ZERO;
                }
            }
            Err((tag, _)) => {
                line.tag = tag;
                line.is_broken = true;
            }
        }
        Some(line)
    }

    pub(super) const fn is_tagged(&self) -> bool {
        self.tag.is_some()
    }
}

/// What is to be done with a line of a reply.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// It is printed, as the reply to the line of this number.
    Print(Option<u64>),
    /// It is printed later, or not at all.
    Hold,
    /// It is not printed: the line of this number is sent again after this time.
    Retry(u64, Duration),
}

/// The lines that are not answered.
pub(super) struct Pipeline {
    /// By their numbers, from 1 on.
    lines: BTreeMap<u64, Line>,
    /// Those of each tag that were sent and whose replies have not ended, in the order of sending.
    sent: FxHashMap<Option<Tag>, VecDeque<u64>>,
    /// Those without a tag, in the order of the input.
    untagged: VecDeque<u64>,
    /// Lines of replies that were held back and are to be printed now.
    released: VecDeque<(u64, String)>,
    held_bytes: usize,
    /// How many without a tag may be sent.
    window: usize,
    /// When the first request without a tag was answered since there was no room.
    answered: Option<Instant>,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            sent: FxHashMap::default(),
            untagged: VecDeque::new(),
            released: VecDeque::new(),
            held_bytes: 0,
            window: FEWEST,
            answered: None,
        }
    }
}

impl Pipeline {
    /// Whether a line may be sent. A request with a tag waits for no other, so a long one does not keep it back.
    pub(super) fn has_room(&self, line: &Line) -> bool {
        let is_narrow = line.tag.is_none() && self.untagged.len() >= self.window;
        line.stops_another || !is_narrow && self.lines.len() < most()
    }

    /// Whether there is room for many lines with or without a tag, after there was none.
    pub(super) fn has_much_room(&self, is_tagged: bool) -> bool {
        (is_tagged || self.untagged.len() <= self.window / 2) && self.lines.len() <= most() - FEWEST
    }

    /// There is no room for a line without a tag.
    pub(super) fn fill(&mut self) {
        self.answered = None;
    }

    /// There was no room for it, and is some again: how wide the window is depends on how long that took, from the
    /// first reply on. The way there and back, which is as long for a quick request, comes before.
    pub(super) fn widen(&mut self, now: Instant) {
        let took = self.answered.take().map(|answered| now.duration_since(answered));
        match took {
            Some(took) if took < QUICK => self.window = (2 * self.window).min(most()),
            Some(took) if took > SLOW => self.window = FEWEST,
            _ => {}
        }
    }

    /// A line is sent.
    pub(super) fn add(&mut self, number: u64, line: Line) {
        self.sent.entry(line.tag).or_default().push_back(number);
        if line.tag.is_none() {
            self.untagged.push_back(number);
        }
        self.lines.insert(number, line);
    }

    /// A line is sent again: its words, if it is still to be answered.
    pub(super) fn send_again(&mut self, number: u64) -> Option<&[u8]> {
        let line = self.lines.get_mut(&number)?;
        line.stage = Stage::Sent;
        self.sent.entry(line.tag).or_default().push_back(number);
        Some(&line.words)
    }

    /// Whether all lines are answered.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A line of a reply has come.
    pub(super) fn receive(&mut self, tag: Option<&str>, heard: ReplyLine<'_>, now: Instant) -> Next {
        let Some(number) = self.answered_by(tag, heard) else {
            return Next::Print(None);
        };
        let Some(line) = self.lines.get_mut(&number) else {
            return Next::Hold;
        };
        line.has_rows |= matches!(heard, ReplyLine::Row(_));
        if let Some((text, after)) = busy(heard)
            && !line.has_rows
        {
            let (since, _) = *line.busy.get_or_insert_with(|| (now, String::new()));
            if now.duration_since(since) + after <= line.patience {
                line.busy = Some((since, text.to_owned()));
                line.stage = Stage::Refused;
                self.window = FEWEST;
                return Next::Retry(number, after);
            }
        }
        let is_first = line.tag.is_some() || self.untagged.front() == Some(&number);
        if heard.is_final() {
            line.stage = Stage::Answered;
            if line.tag.is_none() {
                self.answered.get_or_insert(now);
            }
        }
        if is_first {
            if heard.is_final() {
                self.end(number);
            }
            return Next::Print(Some(number));
        }
        // Progress is of no use later.
        if !matches!(heard, ReplyLine::Progress(_)) {
            let text = heard.to_line();
            self.held_bytes += text.len();
            line.held.push(text);
        }
        while self.held_bytes > MOST_HELD && self.give_up_first() {}
        Next::Hold
    }

    /// Lines of replies that were held back and are to be printed now, with the numbers of the lines that they answer.
    pub(super) fn take_released(&mut self) -> VecDeque<(u64, String)> {
        std::mem::take(&mut self.released)
    }

    /// No more replies come: releases what was held back. Says how many lines are not answered, and which is the first.
    pub(super) fn close(&mut self) -> (usize, Option<u64>) {
        let (mut lost, mut first) = (0, None);
        for (number, line) in std::mem::take(&mut self.lines) {
            self.released.extend(line.held.into_iter().map(|held| (number, held)));
            match (line.stage, line.busy) {
                (Stage::Answered, _) => {}
                (Stage::Refused, Some((_, text))) => {
                    let tag = line.tag.map(|tag| format!("@{tag} ")).unwrap_or_default();
                    self.released.push_back((number, tag + &refused(&text)));
                }
                // What was sent again may have been taken in.
                _ => {
                    lost += 1;
                    first.get_or_insert(number);
                }
            }
        }
        (lost, first)
    }

    /// The line that is answered; no more of a reply comes after its last line.
    fn answered_by(&mut self, tag: Option<&str>, heard: ReplyLine<'_>) -> Option<u64> {
        let tag = match tag {
            Some(tag) => Some(Tag::parse(tag)?),
            None => None,
        };
        let sent = self.sent.get_mut(&tag)?;
        let number = match heard {
            ReplyLine::Error { code, .. } if tag.is_some() => sent.remove(refused_by(code, sent, &self.lines)),
            _ if heard.is_final() => sent.pop_front(),
            _ => sent.front().copied(),
        };
        if sent.is_empty() {
            self.sent.remove(&tag);
        }
        number
    }

    /// A line is answered, and that was printed. What was held back for it is released.
    fn end(&mut self, number: u64) {
        let Some(Line { tag: None, .. }) = self.lines.remove(&number) else {
            return;
        };
        self.untagged.pop_front();
        while let Some(&number) = self.untagged.front()
            && let Some(line) = self.lines.get_mut(&number)
        {
            let held = std::mem::take(&mut line.held);
            self.held_bytes -= held.iter().map(String::len).sum::<usize>();
            self.released.extend(held.into_iter().map(|held| (number, held)));
            if line.stage != Stage::Answered {
                break;
            }
            self.lines.remove(&number);
            self.untagged.pop_front();
        }
    }

    /// The first line without a tag stays refused. False if it was not.
    fn give_up_first(&mut self) -> bool {
        let Some(&number) = self.untagged.front() else {
            return false;
        };
        let busy = self.lines.get_mut(&number).and_then(|line| line.busy.take());
        let Some((_, text)) = busy else { return false };
        self.released.push_back((number, refused(&text)));
        self.end(number);
        true
    }
}

/// Requests that are sent without a reply at the most: as many as a daemon with the limits of default takes of a
/// connection.
fn most() -> usize {
    Limits::default().max_in_flight
}

/// Which of the lines that were sent with one tag an error with this code answers. The first is under way; the daemon
/// refuses each of the others as it reads it.
fn refused_by(code: &str, sent: &VecDeque<u64>, lines: &BTreeMap<u64, Line>) -> usize {
    let mut places = sent.iter().map(|number| lines.get(number)).enumerate();
    let place = if code == Code::DupTag.as_str() {
        (sent.len() > 1).then_some(1)
    } else if code == Code::Syntax.as_str() {
        places
            .find(|(_, line)| line.is_some_and(|line| line.is_broken))
            .map(|(place, _)| place)
    } else if code == Code::LineTooLong.as_str() {
        // The limit is the daemon's; what is under way is shorter.
        places
            .min_by_key(|(_, line)| Reverse(line.map(|line| line.words.len())))
            .map(|(place, _)| place)
    } else {
        None
    };
    place.unwrap_or_default()
}

/// What a daemon that is busy says, and when it may be asked again.
fn busy(heard: ReplyLine<'_>) -> Option<(&str, Duration)> {
    let ReplyLine::Error { code, text } = heard else {
        return None;
    };
    let retry = text.rsplit_once("retry-ms=").and_then(|(_, after)| after.parse().ok());
    (code == Code::Busy.as_str()).then(|| (text, retry.map_or(RETRY, Duration::from_millis)))
}

fn refused(text: &str) -> String {
    let code = Code::Busy.as_str();
    ReplyLine::Error { code, text }.to_line()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::split_tag;

    /// A pipeline to which these lines were sent.
    fn sent(lines: &[&str]) -> Pipeline {
        let mut pipeline = Pipeline::default();
        for (line, number) in lines.iter().zip(1..) {
            let line = Line::new(format!("{line}\n").as_bytes());
            pipeline.add(number, line.expect("it asks something"));
        }
        pipeline
    }

    fn receive(pipeline: &mut Pipeline, reply: &str, now: Instant) -> Next {
        let (tag, rest) = split_tag(reply);
        pipeline.receive(tag, ReplyLine::parse(rest), now)
    }

    fn released(pipeline: &mut Pipeline) -> Vec<(u64, String)> {
        pipeline.take_released().into()
    }

    const BUSY: &str = "ERR busy :overload; retry-ms=50";
    const LATER: Duration = Duration::from_millis(50);

    #[test]
    fn replies_to_lines_after_one_that_is_sent_again_wait_for_its_reply() {
        let now = Instant::now();
        let mut pipeline = sent(&["1", "@a 2", "primes 0 5", "4"]);
        assert_eq!(receive(&mut pipeline, BUSY, now), Next::Retry(1, LATER));
        assert_eq!(receive(&mut pipeline, "= 2 3", now), Next::Hold);
        assert_eq!(receive(&mut pipeline, "@a OK 3", now), Next::Print(Some(2)));
        assert_eq!(receive(&mut pipeline, "OK 2", now), Next::Hold);
        assert_eq!(pipeline.send_again(1), Some(&b"1\n"[..]));
        assert_eq!(receive(&mut pipeline, "7", now), Next::Hold);
        assert!(released(&mut pipeline).is_empty());
        assert_eq!(receive(&mut pipeline, "2", now), Next::Print(Some(1)));
        let held = [(3, "= 2 3"), (3, "OK 2"), (4, "OK 7")];
        assert_eq!(
            released(&mut pipeline),
            held.map(|(number, text)| (number, text.to_owned()))
        );
        assert!(pipeline.is_empty());
    }

    #[test]
    fn a_line_is_sent_again_for_a_minute_or_until_its_deadline() {
        let now = Instant::now();
        for (line, patience) in [
            ("pi 1e9", PATIENCE),
            ("pi 1e9 deadline=2s", Duration::from_secs(2)),
            ("pi 1e9 deadline=1h", PATIENCE),
        ] {
            let mut pipeline = sent(&[line]);
            assert_eq!(receive(&mut pipeline, BUSY, now), Next::Retry(1, LATER), "{line}");
            pipeline.send_again(1);
            let last = now + patience - LATER;
            assert_eq!(receive(&mut pipeline, BUSY, last), Next::Retry(1, LATER), "{line}");
            pipeline.send_again(1);
            let late = last + Duration::from_millis(1);
            assert_eq!(receive(&mut pipeline, BUSY, late), Next::Print(Some(1)), "{line}");
        }
        let mut pipeline = sent(&["auth ann secret"]);
        assert_eq!(receive(&mut pipeline, BUSY, now), Next::Print(Some(1)));
    }

    #[test]
    fn a_tag_says_which_line_is_answered_and_a_second_one_with_it_is_refused() {
        let now = Instant::now();
        let mut pipeline = sent(&["@a pi 1e18", "@a pi 5", "@b nht", "pi 5"]);
        assert_eq!(
            receive(&mut pipeline, "@a ERR dup-tag :it is under way", now),
            Next::Print(Some(2))
        );
        assert_eq!(
            receive(&mut pipeline, "@b ERR unknown-verb :no verb", now),
            Next::Print(Some(3))
        );
        assert_eq!(receive(&mut pipeline, "OK 3", now), Next::Print(Some(4)));
        assert_eq!(receive(&mut pipeline, "@a OK 3", now), Next::Print(Some(1)));
        assert_eq!(receive(&mut pipeline, "ERR draining :the end", now), Next::Print(None));
    }

    #[test]
    fn lines_with_a_tag_in_use_are_refused_in_the_order_of_sending() {
        let now = Instant::now();
        let long = format!("@a isprime {}", "7".repeat(20_000));
        let mut pipeline = sent(&["@a pi 1e18", "@a pi 5", "@a pi 6", "@a pi 7 \u{e9}", &long, "@a pi 8"]);
        for (reply, number) in [
            ("@a * pct=1", 1),
            ("@a ERR dup-tag :it is under way", 2),
            ("@a ERR dup-tag :it is under way", 3),
            ("@a ERR syntax :it is no text", 4),
            ("@a ERR line-too-long :it is long", 5),
            ("@a OK 3", 1),
            ("@a OK 4", 6),
        ] {
            assert_eq!(receive(&mut pipeline, reply, now), Next::Print(Some(number)), "{reply}");
        }
        let mut pipeline = sent(&["@a submit", "@a pi 5"]);
        for (reply, number) in [("@a ERR syntax :nothing is asked", 1), ("@a ERR dup-tag :x", 2)] {
            assert_eq!(receive(&mut pipeline, reply, now), Next::Print(Some(number)), "{reply}");
        }
        assert!(pipeline.is_empty());
    }

    #[test]
    fn what_is_not_answered_at_the_end_is_refused_or_lost() {
        let now = Instant::now();
        let mut pipeline = sent(&["1", "2", "3", "@a 4"]);
        receive(&mut pipeline, BUSY, now);
        receive(&mut pipeline, "3", now);
        receive(&mut pipeline, &format!("@a {BUSY}"), now);
        assert_eq!(pipeline.close(), (1, Some(3)));
        let last = [(1, BUSY.to_owned()), (2, "OK 3".to_owned()), (4, format!("@a {BUSY}"))];
        assert_eq!(released(&mut pipeline), last);
    }

    #[test]
    fn a_line_that_was_sent_again_and_not_answered_is_lost() {
        let mut pipeline = sent(&["submit pi 1e20", "@a pi 1e20"]);
        for (reply, number) in [(BUSY.to_owned(), 1), (format!("@a {BUSY}"), 2)] {
            receive(&mut pipeline, &reply, Instant::now());
            assert!(pipeline.send_again(number).is_some());
        }
        assert_eq!(pipeline.close(), (2, Some(1)));
        assert_eq!(released(&mut pipeline), []);
    }

    #[test]
    fn a_line_is_given_up_when_too_much_waits_for_its_reply() {
        let now = Instant::now();
        let mut pipeline = sent(&["1", "primes 0 1e12"]);
        receive(&mut pipeline, BUSY, now);
        let row = format!("= {}", "7".repeat(MOST_HELD));
        assert_eq!(receive(&mut pipeline, &row, now), Next::Hold);
        assert_eq!(released(&mut pipeline), [(1, BUSY.to_owned()), (2, row)]);
        assert_eq!(pipeline.send_again(1), None);
        assert_eq!(receive(&mut pipeline, "OK 1", now), Next::Print(Some(2)));
    }

    #[test]
    fn the_window_is_wider_for_quick_requests_and_narrow_again_for_a_busy_daemon() {
        let now = Instant::now();
        let mut pipeline = sent(&["1"; FEWEST]);
        let [plain, tagged, cancel] =
            ["1", "@a 1", "cancel @a"].map(|line| Line::new(line.as_bytes()).expect("it asks something"));
        assert!(!pipeline.has_room(&plain) && pipeline.has_room(&tagged) && pipeline.has_room(&cancel));
        assert!(!pipeline.has_much_room(false) && pipeline.has_much_room(true));
        pipeline.fill();
        pipeline.widen(now);
        assert_eq!(pipeline.window, FEWEST, "nothing is known yet");
        // The way there and back is long.
        pipeline.fill();
        let first = now + 5 * SLOW;
        receive(&mut pipeline, "2", first);
        receive(&mut pipeline, "2", first + QUICK / 4);
        pipeline.widen(first + QUICK / 2);
        assert_eq!(pipeline.window, 2 * FEWEST);
        assert!(pipeline.has_room(&plain) && pipeline.has_much_room(false));
        receive(&mut pipeline, BUSY, first + QUICK);
        assert_eq!(pipeline.window, FEWEST);
        pipeline.window = most();
        pipeline.fill();
        receive(&mut pipeline, "2", first);
        pipeline.widen(first + 2 * SLOW);
        assert_eq!(pipeline.window, FEWEST);
    }
}
