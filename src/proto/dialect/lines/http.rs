//! HTTP on the port for lines: a web page tries to drive the daemon, and must not. Its head is recognised from its
//! first line, or from the header `Host`, which browsers send next.

/// Methods with which a line is HTTP although it has no version.
const METHODS: [&[u8]; 9] = [
    b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE",
];

const VERSION: &[u8] = b"HTTP/";
/// `HTTP/1.1`, which is looked for at the end of each line.
const VERSION_LENGTH: usize = 8;

/// Whether a line is HTTP: `METHOD TARGET HTTP/1.1` with any method, also one that nobody knows yet, or the header
/// `Host`. One with a tag is not, for a method has no `@`.
#[inline]
pub(super) fn is_http(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    // Most lines are decided here: methods are in capitals, and our verbs seldom are.
    let may_begin = matches!(line.first(), Some(b'A'..=b'Z' | b'h'));
    let end = line.len().checked_sub(VERSION_LENGTH).map(|at| &line[at..]);
    (may_begin || end.is_some_and(|end| end.starts_with(VERSION))) && is_head(line)
}

fn is_head(line: &[u8]) -> bool {
    let mut words = words(line);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let is_version = |word: &[u8]| word.starts_with(VERSION);
    let has_version = words.next_back().is_some_and(is_version);
    let is_request = match METHODS.contains(&method) {
        true => has_version || is_version(target) || target.starts_with(b"/"),
        false => has_version && is_token(method),
    };
    is_request || method.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"))
}

/// Whether a line of which this is the beginning is HTTP. Its version is not there, and no request of ours has such a
/// second word.
pub(super) fn begins_http(line: &[u8]) -> bool {
    let mut words = words(line);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    is_head(line) || is_token(method) && (target.starts_with(b"/") || target.starts_with(b"http"))
}

fn words(line: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// What may be a method (RFC 9110, section 5.6.2), but for `#`, with which comments begin.
fn is_token(word: &[u8]) -> bool {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(is_of_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_method_with_a_target_and_a_version_is_http() {
        for line in [
            &b"POST / HTTP/1.1"[..],
            b"GET /x",
            b"GET / http/1.1",
            b" GET\t/  HTTP/1.1 ",
            b"GET /?a=b&c=d HTTP/1.1",
            b"GET /\xff HTTP/1.1",
            b"GET /\xc3\xa9",
            b"PUT x HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT localhost:7919 HTTP/1.1",
            b"QUERY / HTTP/1.1",
            b"PROPFIND /a HTTP/1.1",
            b"m-search * HTTP/1.1",
            b"nth /\xff HTTP/1.0 ",
            b"PRI * HTTP/2.0",
            b"Host: localhost:7919",
            b"host:localhost",
        ] {
            assert!(is_http(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn requests_are_not_http() {
        for line in [
            &b""[..],
            b"@a GET / HTTP/1.1",
            b"@a Host: localhost",
            b"help HTTP/1.1",
            b"GET key",
            b"PI 10",
            b"Help",
            b"hosts",
            b"HTTP/1.1",
            b"pi 1e10 deadline=5s",
            b"echo (x) HTTP",
            b"# this is not HTTP/1.1",
        ] {
            assert!(!is_http(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn the_beginning_of_a_long_line_is_enough() {
        for line in [&b"GET /xxxx"[..], b"query /x", b"GET http://localhost/x"] {
            assert!(begins_http(line), "{}", line.escape_ascii());
        }
        for line in [&b"@a GET /xxx"[..], b"pi 1000000", b"GET", b"1/2 /x", b"factor 2/3"] {
            assert!(!begins_http(line), "{}", line.escape_ascii());
        }
    }
}
