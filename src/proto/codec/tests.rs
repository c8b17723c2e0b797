//! Properties of both codecs: however the input is cut, the frames are those of the sessions' framing, and each side
//! reads the other.

use super::*;
use crate::primes::Natural;
use crate::proto::dialect::Frame;
use crate::proto::{Code, Failure, Interim, Reply, Value};
use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use std::io;
use std::time::Duration;
use tokio_util::codec::{Decoder, Encoder};

/// Requests of the tests have at most this many bytes.
const LIMIT: usize = 40;

/// Everything that a decoder yields for input in pieces, up to the first error.
fn decoded<D: Decoder<Error = io::Error>>(
    decoder: &mut D,
    pieces: &[&[u8]],
    mut each: impl FnMut(&BytesMut),
) -> (Vec<D::Item>, Option<io::ErrorKind>) {
    let (mut input, mut items) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.put_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error.kind())),
            }
        }
        each(&input);
    }
    loop {
        match decoder.decode_eof(&mut input) {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return (items, None),
            Err(error) => return (items, Some(error.kind())),
        }
    }
}

/// Everything that a session finds in input in pieces.
fn framed(pieces: &[&[u8]]) -> Vec<Incoming> {
    let mut codec = ServerCodec::new(LIMIT);
    let (mut unread, mut found) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        unread.extend_from_slice(piece);
        loop {
            let (used, frame) = codec.next(&unread, index + 1 == pieces.len());
            let is_last = matches!(frame, Some(Frame::Answer { is_last: true, .. }));
            let is_over = frame.is_none();
            found.extend(frame.map(Incoming::from));
            unread.drain(..used);
            if is_last {
                return found;
            }
            if is_over {
                break;
            }
        }
    }
    found
}

#[test]
fn much_that_asks_nothing_is_skipped_by_and_by_and_what_follows_is_found() {
    for nothing in ["\n", "  \r\n", "# no\n", "*0\r\n"] {
        let mut codec = ServerCodec::new(LIMIT);
        let input = nothing.repeat(5_000) + "nth 5\n";
        let input = input.as_bytes();
        let (_, used, frame) = codec.next_after(input, false);
        let most = ServerCodec::MANY_SKIPPED + nothing.len();
        assert!((ServerCodec::MANY_SKIPPED..most).contains(&used), "{nothing:?}: {used}");
        assert!(frame.is_none(), "{nothing:?}");
        let (rest, frame) = codec.next(&input[used..], false);
        assert_eq!(used + rest, input.len(), "{nothing:?}");
        assert!(frame.is_some(), "{nothing:?}");
    }
}

fn cut<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in cuts {
        pieces.push(&input[from..at]);
        from = at;
    }
    pieces.push(&input[from..]);
    pieces
}

fn resp(words: &[&str]) -> Vec<u8> {
    let bulks: String = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()))
        .collect();
    format!("*{}\r\n{bulks}", words.len()).into_bytes()
}

/// Input that is a request, is none, or is any bytes.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop_oneof![
        Just(b'*'),
        Just(b'$'),
        Just(b'1'),
        Just(b'-'),
        Just(b'0'),
        Just(b'\0'),
        Just(b'\r'),
        Just(b'\n'),
        any::<u8>()
    ];
    prop_oneof![
        "(@[a-c] )?[a-z]{1,5}( [0-9]{1,9})?( k=[0-9])?\r?\n".prop_map(String::into_bytes),
        "[0-9]{1,60}\n".prop_map(String::into_bytes),
        " *#[ -~]{0,60}\n".prop_map(String::into_bytes),
        "[ -~]{0,60}\n".prop_map(String::into_bytes),
        prop::collection::vec("[a-z0-9=@]{1,6}", 1..4).prop_map(|words| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            resp(&words)
        }),
        Just(resp(&["HELLO", "3"])),
        Just(resp(&["RESET"])),
        Just(resp(&["pi", "x y"])),
        Just(resp(&["pi", &"7".repeat(50)])),
        Just(resp(&["a"; 70])),
        Just(b"*0\r\n*-1\r\n".to_vec()),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"\x16\x03\x01".to_vec()),
        prop::collection::vec(noise, 0..90),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nothing),
        any::<u128>().prop_map(|n| Value::Number(Natural::from(n))),
        any::<u64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[ -~]{1,20}".prop_map(Value::Text),
        prop::collection::vec(any::<u64>().prop_map(Natural::from), 2..5).prop_map(Value::Numbers),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let failure = (0..Code::ALL.len(), "[ -~]{1,20}").prop_map(|(code, text)| Failure::new(Code::ALL[code], text));
    prop_oneof![value().prop_map(Ok), failure.prop_map(Err)]
}

proptest! {
    #[test]
    fn the_decoder_yields_the_frames_of_a_session_however_the_input_is_cut(
        parts in prop::collection::vec(part(), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        other_cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let input = parts.concat();
        let whole = framed(&[&input]);
        prop_assert_eq!(&framed(&cut(&input, &other_cuts)), &whole);
        let mut most = 0;
        let (items, error) = decoded(&mut ServerCodec::new(LIMIT), &cut(&input, &cuts), |held| most = most.max(held.len()));
        prop_assert_eq!(items, whole);
        prop_assert_eq!(error, None);
        // A request of RESP has at most 64 words, each after a length.
        prop_assert!(most <= LIMIT + 65 * 24, "{} bytes held", most);
    }

    #[test]
    fn a_request_that_a_client_encodes_is_the_request_that_a_server_decodes(
        lines in prop::collection::vec("(@[a-z.]{1,5} )?[a-z]{1,6}( [0-9a-z@^]{1,9}){0,3}( [a-z]{1,3}=[a-z0-9]{0,3}){0,2}|[0-9]{1,9}", 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let requests: Vec<Request> = lines.iter().map(|line| Request::new(line).expect("it is a request")).collect();
        // What is a handshake command in RESP has an answer already.
        let is_verb = |request: &&Request| request.tag().is_some() || request.verb().len() < 4;
        let requests: Vec<Request> = requests.iter().filter(is_verb).cloned().collect();
        for mut client in [ClientCodec::lines(), ClientCodec::resp()] {
            let mut out = BytesMut::new();
            for request in &requests {
                client.encode(request.clone(), &mut out).expect("it can be encoded");
            }
            let (items, _) = decoded(&mut ServerCodec::new(1000), &cut(&out, &cuts), |_| ());
            let found: Vec<Request> = items
                .into_iter()
                .map(|item| match item {
                    Incoming::Request { request, .. } => request,
                    Incoming::Answered(answer) => panic!("{answer:?}"),
                })
                .collect();
            prop_assert_eq!(&found, &requests);
        }
    }

    #[test]
    fn a_reply_that_a_server_encodes_is_the_reply_that_a_client_decodes(
        replies in prop::collection::vec((reply(), prop::option::of(prop::collection::vec("[2-9]{1,9}|[a-z ]{1,9}", 0..4))), 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        version in 1..4u8,
    ) {
        let hello: &[u8] = if version == 3 { b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n" } else { b"" };
        let request: &[u8] = if version == 1 { b"@t pi 5\n" } else { b"*1\r\n$2\r\npi\r\n" };
        let mut server = ServerCodec::new(1000);
        let (items, _) = decoded(&mut server, &[hello, request], |_| ());
        let Some(Incoming::Request { format, .. }) = items.last() else { panic!("{items:?}") };
        let mut out = BytesMut::new();
        let progress = Interim::Progress { done: 0.5, eta: Some(Duration::from_secs(9)), stage: None };
        let mut expected = Vec::new();
        let tag = format.tag().copied();
        for (reply, rows) in &replies {
            let interim = Outgoing::interim(*format, progress.clone()).expect("progress may be sent");
            server.encode(interim, &mut out).expect("encoding does not fail");
            if version != 2 {
                expected.push(Response { tag, part: Part::Progress("pct=50.0 eta=9s".into()) });
            }
            let outgoing = match rows {
                Some(rows) => Outgoing::rows(*format, rows.clone(), reply.clone()),
                None => Outgoing::reply(*format, reply.clone()),
            };
            server.encode(outgoing, &mut out).expect("encoding does not fail");
            if version == 1 {
                expected.extend(rows.iter().flatten().map(|row| Response { tag, part: Part::Row(row.clone()) }));
            }
            let words = match (reply, rows) {
                (Err(failure), _) => Err(failure.clone()),
                // Without rows a value that is no number of rows is the answer.
                (Ok(value), Some(rows))
                    if version > 1 && (!rows.is_empty() || matches!(value, Value::Nothing) || *value == 0.into()) =>
                {
                    Ok(rows.join(" "))
                }
                (Ok(Value::Truth(yes)), _) if version == 2 => Ok(u8::from(*yes).to_string()),
                // RESP says OK to nothing, and a text that says so is the same to a client.
                (Ok(value), _) => Ok(value.to_string()),
            };
            let data = words.map(Data::Text);
            expected.push(Response { tag, part: Part::Final(data) });
        }
        let mut client = if version == 1 { ClientCodec::lines() } else { ClientCodec::resp() };
        let (responses, error) = decoded(&mut client, &cut(&out, &cuts), |_| ());
        let as_text = |response: Response| match response.part {
            Part::Final(Ok(data)) => Response { tag: response.tag, part: Part::Final(Ok(Data::Text(data.to_string()))) },
            _ => response,
        };
        let responses: Vec<Response> = responses.into_iter().map(as_text).collect();
        prop_assert_eq!(responses, expected);
        prop_assert_eq!(error, None);
    }

    #[test]
    fn a_client_finds_the_same_in_any_input_however_it_is_cut_and_holds_no_more_than_its_limit(
        parts in prop::collection::vec(prop_oneof![
            "[+:$*%>(#_-]([0-9]{1,3}|-1|t|OK)?\r\n".prop_map(String::into_bytes),
            "[$]5\r\nabcde\r\n".prop_map(String::into_bytes),
            "(@[a-c] )?(OK|ERR|=|[*]) [a-z :]{0,50}\r?\n".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..60),
        ], 0..9),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let input = parts.concat();
        for codec in [ClientCodec::lines, ClientCodec::resp] {
            let mut most = 0;
            let one = decoded(&mut codec().with_limit(LIMIT), &[&input], |_| ());
            let cut = decoded(&mut codec().with_limit(LIMIT), &cut(&input, &cuts), |held| most = most.max(held.len()));
            prop_assert_eq!(&one, &cut);
            prop_assert!(most <= LIMIT + 2, "{} bytes held", most);
        }
    }
}

#[test]
fn after_a_frame_that_is_the_last_the_input_is_dropped() {
    let mut codec = ServerCodec::new(LIMIT);
    let mut input = BytesMut::from(&b"GET / HTTP/1.1\nping\n"[..]);
    let Ok(Some(Incoming::Answered(outgoing))) = codec.decode(&mut input) else {
        panic!("it is answered");
    };
    assert!(outgoing.is_last());
    assert_eq!(codec.decode(&mut input).ok(), Some(None));
    assert!(input.is_empty());
}

#[test]
fn a_request_is_read_back_word_by_word() {
    let request = Request::new("@a count 5 1e6 method=sieve deadline=5s").expect("it is a request");
    assert_eq!(request.tag(), Tag::parse("a").as_ref());
    assert_eq!(request.verb(), "count");
    assert_eq!(request.args().collect::<Vec<_>>(), ["5", "1e6"]);
    assert_eq!(request.option("DEADLINE"), Some("5s"));
    assert_eq!(request.option("progress"), None);
    assert_eq!(request.words(), "count 5 1e6 method=sieve deadline=5s");
    assert_eq!(
        Request::new("100000").map(|request| request.words().to_owned()),
        Ok("nth 100000".into())
    );
    for line in ["", "# x", "*1", "pi\n5", "@a", "GET / HTTP/1.1", "é"] {
        assert_eq!(
            Request::new(line).map_err(|failure| failure.code),
            Err(Code::Syntax),
            "{line:?}"
        );
    }
}

#[test]
fn a_request_from_resp_that_would_be_no_line_is_not_sent_as_one() {
    for verb in ["#x", "*1", "@", "Host:"] {
        let mut input = BytesMut::from(&resp(&[verb])[..]);
        let Ok(Some(Incoming::Request { request, .. })) = ServerCodec::new(LIMIT).decode(&mut input) else {
            continue;
        };
        let mut out = BytesMut::new();
        let error = ClientCodec::lines().encode(request, &mut out).expect_err(verb);
        assert_eq!((error.kind(), out.len()), (io::ErrorKind::InvalidInput, 0));
    }
}

#[test]
fn lists_of_lists_are_decoded_and_not_without_end() {
    let list = |items: Vec<Data>| Part::Final(Ok(Data::List(items)));
    let text = |text: &str| Data::Text(text.into());
    let mut codec = ClientCodec::resp();
    let (responses, error) = decoded(&mut codec, &[b"%1\r\n$1\r\na\r\n*2\r\n:5\r\n*0\r\n+PONG\r\n"], |_| ());
    let parts: Vec<Part> = responses.into_iter().map(|response| response.part).collect();
    let inner = Data::List(vec![Data::Number(5u8.into()), Data::List(vec![])]);
    assert_eq!(parts, [list(vec![text("a"), inner]), Part::Final(Ok(text("PONG")))]);
    assert_eq!(error, None);
    let nested = b"*1\r\n".repeat(9);
    let (_, error) = decoded(&mut ClientCodec::resp(), &[&nested], |_| ());
    assert_eq!(error, Some(io::ErrorKind::InvalidData));
    let (_, error) = decoded(&mut ClientCodec::resp(), &[b"$99999999999\r\n"], |_| ());
    assert_eq!(error, Some(io::ErrorKind::InvalidData));
}
