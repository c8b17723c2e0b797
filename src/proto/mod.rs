//! The wire without sockets: framing, requests, numbers, replies, their order. Knows no task, no actor and no clock.
//!
//! The data's way through this room: bytes -> [`LineCodec`] -> line -> [`Request`] -> (the rooms above) -> [`Reply`] ->
//! [`Conversation`], which keeps the order -> bytes.

mod code;
mod codec;
mod conversation;
mod number;
mod reply;
mod request;
mod value;

pub use code::{Code, Failure};
pub use codec::{Frame, LineCodec};
pub use conversation::{Conversation, DuplicateTag, Place};
pub use number::{MAX_DIGITS, NumberError, parse_number, parse_short_number};
pub use reply::{Interim, Reply};
pub use request::{Line, Malformed, Request, Tag};
pub use value::Value;
