//! The protocol as codecs of [`tokio_util::codec`]: put them into `Framed` on either side of a connection. They do no
//! input and output themselves, and know no socket.
//!
//! [`ServerCodec`] decodes requests, lines and RESP as they come, and encodes replies; the daemon's own sessions decode
//! with it.
//! [`ClientCodec`] encodes requests, in lines or in RESP, and decodes replies.
//!
//! ```
//! use futures_util::{SinkExt, StreamExt};
//! use primed::codec::{ClientCodec, Data, Incoming, Outgoing, Part, Request, ServerCodec};
//! use primed::{Code, Failure, Value};
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio_util::codec::Framed;
//!
//! /// Answers `sum A B ...`.
//! fn answer(request: &Request) -> Result<Value, Failure> {
//!     match request.verb() {
//!         "sum" => Ok(Value::from(request.args().filter_map(|n| n.parse::<u64>().ok()).sum::<u64>())),
//!         _ => Err(Failure::new(Code::UnknownVerb, "write 'sum A B ...'")),
//!     }
//! }
//!
//! async fn serve(socket: TcpStream) -> std::io::Result<()> {
//!     let mut framed = Framed::new(socket, ServerCodec::new(16 << 10));
//!     while let Some(incoming) = framed.next().await {
//!         let outgoing = match incoming? {
//!             Incoming::Request { request, format } => Outgoing::reply(format, answer(&request)),
//!             Incoming::Answered(outgoing) => outgoing,
//!         };
//!         let is_last = outgoing.is_last();
//!         framed.send(outgoing).await?;
//!         if is_last {
//!             break;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async move {
//!     while let Ok((socket, _)) = listener.accept().await {
//!         tokio::spawn(serve(socket));
//!     }
//! });
//!
//! for codec in [ClientCodec::lines(), ClientCodec::resp()] {
//!     let mut framed = Framed::new(TcpStream::connect(address).await?, codec);
//!     framed.send(Request::new("sum 1 2 3")?).await?;
//!     let Some(response) = framed.next().await.transpose()? else { panic!("it replies") };
//!     let Part::Final(reply) = response.part else { panic!("it is one part") };
//!     assert_eq!(reply?.to_string(), "6");
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub use super::format::ReplyFormat;
pub use super::response::{Data, Part, Response};
pub use super::tag::Tag;
pub use client::ClientCodec;
pub use request::Request;
pub use server::{Incoming, Outgoing, ServerCodec};
