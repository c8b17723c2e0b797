//! Replies of RESP2 and RESP3 as a client decodes them: the forms that `encoding` writes, and no others.

use crate::primes::Natural;
use crate::proto::response::{Data, Part, Response};
use crate::proto::{Code, Failure, MAX_DIGITS, Tag};
use bytes::{Buf, BytesMut};
use std::io;

/// The deepest reply is that of `HELLO`: a list in a map.
const MAX_DEPTH: usize = 4;

/// Decodes replies. Every element is taken off the input as soon as it has arrived, so that a long list costs no second
/// look.
#[derive(Debug, Default)]
pub(in crate::proto) struct ReplyFraming {
    /// Lists that are not complete, the outermost first.
    open: Vec<List>,
    /// Bytes of the current reply that were taken off the input.
    used: usize,
    /// Bytes of the input without a line end.
    searched: usize,
}

#[derive(Debug)]
struct List {
    is_push: bool,
    left: u64,
    items: Vec<Data>,
}

enum Element {
    Data(Data),
    Failure(Failure),
    /// The head of a list.
    List {
        is_push: bool,
        len: u64,
    },
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl ReplyFraming {
    /// The next reply or push, if it has arrived whole.
    ///
    /// # Errors
    /// `InvalidData` for a reply of more than `limit` bytes, or input that is no reply.
    pub(in crate::proto) fn next(&mut self, input: &mut BytesMut, limit: usize) -> io::Result<Option<Response>> {
        loop {
            let Some(element) = self.element(input, limit)? else {
                return Ok(None);
            };
            let data = match element {
                Element::List { is_push, len } => {
                    if self.open.len() == MAX_DEPTH || (is_push && !self.open.is_empty()) {
                        return Err(invalid("a reply is nested too deep"));
                    }
                    self.open.push(List {
                        is_push,
                        left: len,
                        items: Vec::new(),
                    });
                    None
                }
                Element::Data(data) => Some(data),
                Element::Failure(failure) if self.open.is_empty() => {
                    self.used = 0;
                    return Ok(Some(untagged(Part::Final(Err(failure)))));
                }
                Element::Failure(_) => return Err(invalid("a list holds an error")),
            };
            let response = match data {
                Some(data) => self.put(data),
                None => self.closed(),
            };
            if let Some(response) = response {
                self.used = 0;
                return Ok(Some(response));
            }
        }
    }

    /// Puts a value into the list it belongs to; the response, if that completes one.
    fn put(&mut self, data: Data) -> Option<Response> {
        let Some(list) = self.open.last_mut() else {
            return Some(untagged(Part::Final(Ok(data))));
        };
        list.items.push(data);
        list.left -= 1;
        self.closed()
    }

    /// Closes the innermost list if it is complete; the response, if that completes one.
    fn closed(&mut self) -> Option<Response> {
        let list = self.open.pop_if(|list| list.left == 0)?;
        if list.is_push {
            self.used = 0;
            return progress(&list.items);
        }
        self.put(Data::List(list.items))
    }

    /// The next element, taken off the input.
    fn element(&mut self, input: &mut BytesMut, limit: usize) -> io::Result<Option<Element>> {
        let too_long = || invalid(format!("a reply is longer than {limit} bytes"));
        // The CR that was the last byte may have got its LF.
        let from = self.searched.saturating_sub(1);
        let end = memchr::memmem::find(&input[from..], b"\r\n").map(|at| from + at);
        self.searched = input.len();
        // The last byte may be the CR.
        if self.used + end.unwrap_or(input.len().saturating_sub(1)) > limit {
            return Err(too_long());
        }
        let Some(end) = end else {
            return Ok(None);
        };
        self.searched = 0;
        let line = std::str::from_utf8(&input[..end]).map_err(|_| invalid("a reply is not text"))?;
        let (mark, rest) = line.split_at_checked(1).ok_or_else(|| invalid("a reply is empty"))?;
        let mut taken = end + 2;
        let element = match mark {
            "+" if rest == "OK" => Element::Data(Data::Nothing),
            "+" => Element::Data(Data::Text(rest.to_owned())),
            "-" => {
                let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let code = match code {
                    "NOAUTH" => Code::Unauthenticated.as_str().to_owned(),
                    code => code.to_ascii_lowercase(),
                };
                Element::Failure(Failure::received(&code, text))
            }
            ":" | "(" => Element::Data(Data::Number(number(rest)?)),
            "#" if rest == "t" => Element::Data(Data::Truth(true)),
            "#" if rest == "f" => Element::Data(Data::Truth(false)),
            "_" if rest.is_empty() => Element::Data(Data::Nothing),
            "$" | "*" if rest == "-1" => Element::Data(Data::Nothing),
            "$" => {
                let len = usize::try_from(length(rest)?).unwrap_or(usize::MAX);
                if len > limit.saturating_sub(self.used + taken) {
                    return Err(too_long());
                }
                let Some(bytes) = input.get(taken..taken.saturating_add(len).saturating_add(2)) else {
                    return Ok(None);
                };
                let text = bytes
                    .strip_suffix(b"\r\n")
                    .and_then(|bytes| std::str::from_utf8(bytes).ok());
                let text = text.ok_or_else(|| invalid("a bulk string of a reply is not text with a line end"))?;
                let text = Data::Text(text.to_owned());
                taken += len + 2;
                Element::Data(text)
            }
            "*" | ">" => Element::List {
                is_push: mark == ">",
                len: length(rest)?,
            },
            "%" => Element::List {
                is_push: false,
                len: length(rest)?.saturating_mul(2),
            },
            _ => return Err(invalid("a reply is of no kind that this server sends")),
        };
        self.used += taken;
        input.advance(taken);
        Ok(Some(element))
    }
}

fn untagged(part: Part) -> Response {
    Response { tag: None, part }
}

/// The progress in a push; other pushes have no meaning here.
fn progress(items: &[Data]) -> Option<Response> {
    let [Data::Text(kind), tag, Data::Text(words)] = items else {
        return None;
    };
    let tag = match tag {
        Data::Text(tag) => Tag::parse(tag),
        _ => None,
    };
    let part = Part::Progress(words.clone());
    (kind == "progress").then_some(Response { tag, part })
}

fn number(digits: &str) -> io::Result<Natural> {
    let is_number = digits.len() <= MAX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| digits.parse());
    number
        .and_then(Result::ok)
        .ok_or_else(|| invalid("a number of a reply is not one"))
}

fn length(digits: &str) -> io::Result<u64> {
    let length = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse());
    length
        .and_then(Result::ok)
        .ok_or_else(|| invalid("a length of a reply is not one"))
}
