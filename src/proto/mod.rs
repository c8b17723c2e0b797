//! The wire without sockets: framing, requests, numbers, replies, their order. Knows no task, no actor and no clock.
//!
//! The data's way through this module: bytes -> [`ServerCodec`](codec::ServerCodec) -> [`Request`] -> (the modules
//! above) -> [`Reply`] ->
//! [`Conversation`], which keeps the order -> [`Dialect`](format::Dialect), which encodes -> bytes.
//!
//! Imports go one way here too, from the last to the first of: `burst`, `code`, `few`, `number`, `value`, `tag`,
//! `reply`, `response`, `format`, `request`, `dialect`, `codec`; and `conversation`, which knows `format` and no
//! dialect. A request knows only the interface of the dialect that it came in: `dialect/lines` and `dialect/resp` make
//! requests, and `request` imports neither.

mod burst;
mod code;
pub mod codec;
mod conversation;
mod dialect;
mod few;
mod format;
mod number;
mod reply;
mod request;
mod response;
mod tag;
mod value;

pub use burst::Burst;
pub use code::{Code, Failure};
pub use conversation::{Conversation, RequestId};
pub use dialect::Frame;
pub use dialect::lines::{ParsedLine, ReplyLine, parse_line, split_tag};
pub use few::Few;
pub use format::ReplyFormat;
pub(crate) use number::parse_id;
pub use number::{MAX_DIGITS, MAX_OPERANDS, NumberError, parse_number, parse_short_number, parse_word};
#[cfg(feature = "http")]
pub(crate) use reply::job_fields;
pub(crate) use reply::progress_field;
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) use reply::progress_fields;
pub use reply::{Final, Interim, Reply, outcome};
pub(crate) use request::{DEADLINES, INTERVALS, MAX_CLIENT_NAME, within};
pub use request::{NumberRequest, Options, Request};
pub use tag::Tag;
pub use value::Value;
