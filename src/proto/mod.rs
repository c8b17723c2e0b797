//! The wire without sockets: framing, requests, numbers, replies, their order. Knows no task, no actor and no clock.
//!
//! The data's way through this room: bytes -> [`Codec`] -> [`Request`] -> (the rooms above) -> [`Reply`] -> [`Conversation`], which
//! keeps the order -> [`Dialect`](dialect::Dialect), which spells -> bytes.

mod code;
mod conversation;
mod dialect;
mod few;
mod number;
mod reply;
mod request;
mod value;

pub use code::{Code, Failure};
pub use conversation::{Conversation, RequestId};
pub use dialect::{Codec, Frame};
pub use few::Few;
pub use number::{MAX_DIGITS, NumberError, parse_number, parse_short_number, parse_word};
pub use reply::{Final, Interim, Reply};
pub use request::{Line, Manner, Request, Tag};
pub use value::Value;
