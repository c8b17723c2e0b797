//! The link to the engine: the jobs of a read go in ONE message, and what is under way is cancelled when the session
//! ends, however it ends. Knows no reply.

use super::access::Login;
use crate::engine::{Account, Cancel, ClientId, Grant, Leave, Order, Plain, RequestId, Requests};
use crate::server::Shared;
use crate::server::session::ReplyTo;
use std::sync::Arc;

/// Room that is made at once for as many questions as there were the last time, at the most.
const MOST_AT_ONCE: usize = 128;

/// What one connection asks of the engine.
pub(super) struct EngineLink {
    client: ClientId,
    /// Made with the first job.
    asked: Option<Box<ClientGuard>>,
    /// Plain questions and other orders that the engine has not been sent yet.
    questions: Vec<Plain>,
    /// How many questions the last message had.
    usual: usize,
    orders: Vec<Order>,
}

/// What is the same for all that a connection asks. When it is dropped, what is under way is cancelled.
pub(super) struct ClientGuard {
    client: ClientId,
    shared: Arc<Shared>,
    account: Account,
}

impl EngineLink {
    pub(super) const fn new(client: ClientId, asked: Option<Box<ClientGuard>>) -> Self {
        Self {
            client,
            asked,
            questions: Vec::new(),
            usual: 0,
            orders: Vec::new(),
        }
    }

    /// Goes on as that of another client, after all was sent.
    pub(super) fn go_on_as(&mut self, client: ClientId, asked: Option<Box<ClientGuard>>) {
        (self.client, self.asked) = (client, asked);
    }

    /// The account for which anything was asked.
    pub(super) fn asked_for(&self) -> Option<Account> {
        self.asked.as_ref().map(|asked| asked.account)
    }

    /// Puts a question, of which nothing is wanted but the answer, into the next message.
    #[inline]
    pub(super) fn ask(&mut self, question: Plain) {
        if self.questions.is_empty() {
            self.questions.reserve(self.usual.min(MOST_AT_ONCE));
        }
        self.questions.push(question);
    }

    /// Puts an order into the next message.
    pub(super) fn order(&mut self, order: Order) {
        self.orders.push(order);
    }

    /// What is left of it while nothing is under way.
    pub(super) fn rest(&mut self) -> Option<Box<ClientGuard>> {
        self.asked.take()
    }

    /// True if all was sent.
    pub(super) const fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.questions.is_empty()
    }

    /// Sends all that was asked for since the last time, on behalf of who logged in.
    #[inline]
    pub(super) fn send(&mut self, login: &Login, shared: &Arc<Shared>, to: &ReplyTo) {
        if self.is_empty() {
            return;
        }
        let client = self.client;
        let asked = self.asked.get_or_insert_with(|| {
            let (shared, account) = (shared.clone(), login.account());
            Box::new(ClientGuard {
                client,
                shared,
                account,
            })
        });
        self.usual = self.questions.len();
        shared.scheduler.do_send(Requests {
            client,
            connection: client,
            account: asked.account,
            limits: login.limits(),
            questions: std::mem::take(&mut self.questions),
            orders: std::mem::take(&mut self.orders),
            to: to.news.clone(),
        });
    }

    /// Stops the work on a request.
    pub(super) fn cancel(&mut self, id: RequestId, shared: &Shared) {
        // A request that the engine has not been sent yet is not begun.
        self.questions.retain(|(question, _)| *question != id);
        self.orders.retain(|order| order.request != id);
        let client = self.client;
        shared.scheduler.do_send(Cancel { client, request: id });
    }

    /// Lets a stream send more rows.
    pub(super) fn grant(&self, id: RequestId, rows: usize, shared: &Shared) {
        let client = self.client;
        shared.scheduler.do_send(Grant {
            client,
            request: id,
            rows,
        });
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.shared.scheduler.do_send(Leave(self.client));
    }
}
