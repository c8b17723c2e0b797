//! Requests sent to a daemon, and the lines that come back, each as soon as it is there. What is not answered is never
//! taken for an answer.

use super::connect::{Connect, Refused};
use super::lines::Lines;
use super::print::Printer;
use crate::client::{ReplyLine, split_tag};
use crate::proto::{ParsedLine, Request, parse_line};
use std::io::{self, BufWriter, Stdout, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

/// Replies are buffered until the next read waits.
pub(super) type Out = Printer<BufWriter<Stdout>>;

/// What a daemon with users says to do first, in its protocol.
const LOGIN: &str = "auth USER PASSWORD";

/// Bytes that a line may have beside the request: ` progress=500ms` and a tag.
const MAX_BESIDE: usize = 64;

/// A printer on standard output.
pub(super) fn printer(is_json: bool) -> Out {
    Printer::new(BufWriter::new(io::stdout()), is_json)
}

/// Whether progress may be asked for beside a request: `auth` takes every word for a name or a password, `config set`
/// takes it for a value that is missing, and `monitor` has none. A request that has the option, or no room for it in a
/// line of a daemon with the limits of default, is sent as it is.
pub(super) fn takes_progress(request: &str) -> bool {
    let Ok(ParsedLine::Request(parsed)) = parse_line(request.as_bytes()) else {
        return false;
    };
    let has_progress = !["config", "monitor"]
        .iter()
        .any(|other| other.eq_ignore_ascii_case(parsed.verb));
    let words = 1 + parsed.args.len() + parsed.options.len();
    let has_room = words < Request::MAX_WORDS && request.len() + MAX_BESIDE <= crate::Limits::default().max_line_bytes;
    has_progress && has_room && parsed.option("progress").is_none() && !is_login(request)
}

/// Whether a request has a password in it.
pub(super) fn is_login(request: &str) -> bool {
    let mut words = request.split_whitespace();
    words.any(|word| !word.starts_with('@') && word.eq_ignore_ascii_case("auth"))
}

/// One request, whose reply is printed as it is.
pub(super) fn ask_one(connect: &Connect, request: &str, mut printer: Out) -> anyhow::Result<ExitCode> {
    let wants_progress = printer.shows_progress() && takes_progress(request) && request.contains(' ');
    let progress = if wants_progress { " progress=1s" } else { "" };
    let Some(stream) = send_one(connect, &format!("{request}{progress}"), &mut printer)? else {
        return Ok(status(&printer));
    };
    let answered = read_lines(connect, &stream, &mut printer, Printer::print)?;
    check_lost(connect, replies_to(request.as_bytes()).saturating_sub(answered), None)?;
    Ok(status(&printer))
}

/// One request. Rows and the value are printed as `format` makes them, if it makes anything of them; errors as usual.
pub(super) fn ask_for(
    connect: &Connect,
    request: &str,
    mut printer: Out,
    mut format: impl FnMut(ReplyLine<'_>) -> Option<String>,
) -> anyhow::Result<ExitCode> {
    let Some(stream) = send_one(connect, request, &mut printer)? else {
        return Ok(status(&printer));
    };
    let answered = read_lines(connect, &stream, &mut printer, |printer, _, heard| match heard {
        ReplyLine::Row(_) | ReplyLine::Value(_) => match format(heard) {
            Some(text) => printer.line(&text),
            None => Ok(()),
        },
        ReplyLine::Error { .. } | ReplyLine::Progress(_) => printer.print(None, heard),
    })?;
    check_lost(connect, 1_u64.saturating_sub(answered), None)?;
    Ok(status(&printer))
}

/// Connects. Where the daemon replies that it refuses the user, that is printed as an error reply, and there is no
/// connection.
pub(super) fn open(connect: &Connect, printer: &mut Out) -> anyhow::Result<Option<TcpStream>> {
    match connect.open() {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => {
            let Refused { code, text } = error.downcast::<Refused>()?;
            printer.print(
                None,
                ReplyLine::Error {
                    code: &code,
                    text: &text,
                },
            )?;
            printer.flush()?;
            Ok(None)
        }
    }
}

fn send_one(connect: &Connect, request: &str, printer: &mut Out) -> anyhow::Result<Option<TcpStream>> {
    anyhow::ensure!(
        !request.contains('\n'),
        "a request is one line, and this one has a line feed in it: 'primed ask' reads several from standard input"
    );
    let Some(mut stream) = open(connect, printer)? else {
        return Ok(None);
    };
    // A daemon that closes at once may have sent an error, which is read later.
    let _ = stream.write_all(format!("{request}\n").as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    Ok(Some(stream))
}

/// How many final lines answer a line: none, if it is blank or a comment.
pub(super) fn replies_to(line: &[u8]) -> u64 {
    u64::from(parse_line(line.trim_ascii_end()) != Ok(ParsedLine::Blank))
}

/// The exit status after these replies.
pub(super) fn status(printer: &Out) -> ExitCode {
    ExitCode::from(u8::from(printer.errors > 0))
}

/// Passes on all lines until the daemon closes the connection. Says how many were final.
///
/// # Errors
/// If what came is not from a prime daemon, or if it cannot be printed.
pub(super) fn read_lines(
    connect: &Connect,
    stream: &TcpStream,
    printer: &mut Out,
    mut take: impl FnMut(&mut Out, Option<&str>, ReplyLine<'_>) -> io::Result<()>,
) -> anyhow::Result<u64> {
    let mut lines = Lines::new(stream);
    let mut answered = 0;
    loop {
        if lines.is_empty() {
            printer.flush()?;
        }
        let Some(shown) = lines.next()? else { break };
        let (tag, rest) = split_tag(&shown);
        let heard = ReplyLine::parse(rest);
        if heard == ReplyLine::Value(rest) && !rest.bytes().all(|byte| byte.is_ascii_digit()) {
            printer.flush()?;
            anyhow::bail!("the server there is not a prime daemon: it sent '{rest}'");
        }
        answered += u64::from(heard.is_final());
        match heard {
            ReplyLine::Error { code, text } if !connect.has_user() && text.ends_with(LOGIN) => {
                let text = &format!("{text} (with primed: --user NAME)");
                take(printer, tag, ReplyLine::Error { code, text })?;
            }
            heard => take(printer, tag, heard)?,
        }
    }
    printer.wipe();
    printer.flush()?;
    Ok(answered)
}

/// Refuses to end in silence if this many questions are unanswered, the first of them on this line of the input.
///
/// # Errors
/// If there is one.
pub(super) fn check_lost(connect: &Connect, lost: u64, first: Option<u64>) -> anyhow::Result<()> {
    let text = match lost {
        0 => return Ok(()),
        1 => match first {
            Some(number) => format!("the daemon closed the connection before it answered line {number}; ask again"),
            None => "the daemon closed the connection before it answered; ask again".to_owned(),
        },
        _ => {
            let from = first
                .map(|number| format!(", from line {number} on"))
                .unwrap_or_default();
            format!("the daemon closed the connection with {lost} questions unanswered{from}; ask them again")
        }
    };
    Err(connect.reason().or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_password_takes_no_option_and_is_not_remembered() {
        for login in [
            "auth ann secret",
            "  AUTH secret",
            "@a auth ann secret",
            "submit auth x",
        ] {
            assert!(is_login(login) && !takes_progress(login), "{login}");
        }
        assert!(!takes_progress("config set log") && !takes_progress("@a CONFIG get"));
        assert!(!takes_progress("@m monitor"));
        assert!(takes_progress("pi 1e12") && !is_login("pi 1e12"));
        assert!(!takes_progress("pi 1e12 progress=5s"));
    }

    #[test]
    fn what_is_added_never_spoils_a_request() {
        assert!(!takes_progress("isprime 7 PROGRESS=5s"));
        assert!(takes_progress("certify check=progress=5s"));
        let numbers = |count| format!("isprime{}", " 7".repeat(count));
        assert!(takes_progress(&numbers(62)) && !takes_progress(&numbers(63)));
        let digits = |count| format!("isprime {}", "7".repeat(count));
        assert!(takes_progress(&digits(10_000)) && !takes_progress(&digits((16 << 10) - 20)));
    }
}
