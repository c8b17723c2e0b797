//! The messages that the scheduler takes, and those that it sends to clients.

use crate::auth::UserLimits;
use crate::engine::batch::Plain;
use crate::engine::message::{Account, ClientId, Event, Order, RequestId};
use crate::proto::Failure;
use actix::prelude::*;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Requests of a client. One message carries all of one read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Requests {
    /// The client.
    pub client: ClientId,
    /// The connection that it asks over: itself, or the one that it shares with other users.
    pub connection: ClientId,
    /// Whose shares and limits it uses; always the same.
    pub account: Account,
    /// How much the account may use, beyond what every account may.
    pub limits: UserLimits,
    /// Plain questions: of these nothing is wanted but the answer. In the order of their names.
    pub questions: Vec<Plain>,
    /// What else is asked.
    pub orders: Vec<Order>,
    /// Where news of them goes.
    pub to: Arc<Recipient<News>>,
}

/// News of a client's requests.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum News {
    /// What happened, in that order.
    Events {
        /// The client: an actor may act for several.
        client: ClientId,
        /// Of which request, and what.
        events: Vec<(RequestId, Event)>,
    },
    /// The scheduler broke, and has lost whatever it had of this client up to this request: each of these that has no
    /// reply yet gets the failure.
    Lost {
        /// The client.
        client: ClientId,
        /// The latest request that the scheduler had been sent.
        last: RequestId,
        /// What those that waited are answered.
        failure: Failure,
    },
}

impl News {
    /// The client whose requests they are about.
    pub const fn client(&self) -> ClientId {
        match self {
            Self::Events { client, .. } | Self::Lost { client, .. } => *client,
        }
    }
}

/// The order to stop working on a request. One that waits is answered `cancelled`; of a submit whose ID its client does
/// not have yet, the job ends, and nothing is sent.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cancel {
    /// The client that asked.
    pub client: ClientId,
    /// Which request.
    pub request: RequestId,
}

/// The news that a client can take more rows of a request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Grant {
    /// The client that asked.
    pub client: ClientId,
    /// Which request.
    pub request: RequestId,
    /// How many more rows.
    pub rows: usize,
}

/// The news that a client is gone: what it asked is cancelled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave(pub ClientId);

/// The order to shut down: first nothing new, and then nothing at all.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Shutdown {
    /// Finish what has been accepted, refuse what is new.
    Drain,
    /// Cancel what is left.
    Cancel,
}

/// Asks to be notified when everything is written: sent after the last request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush {
    /// Notified then.
    pub written: oneshot::Sender<()>,
}
