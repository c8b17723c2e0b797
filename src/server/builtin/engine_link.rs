//! The link to the engine: the jobs of a read go in ONE message, and what is under way is cancelled when the session ends, however it ends.
//! Knows no reply.

use crate::auth::UserLimits;
use crate::engine::{Account, Cancel, ClientId, Grant, Leave, News, Order, Plain, RequestId, Requests};
use crate::server::Shared;
use actix::Recipient;
use std::sync::Arc;

/// What one connection asks of the engine.
pub(super) struct EngineLink {
    client: ClientId,
    account: Account,
    limits: UserLimits,
    shared: Arc<Shared>,
    /// Where the engine sends news; made with the first job.
    me: Option<Arc<Recipient<News>>>,
    /// Plain questions and other orders that the engine has not been sent yet.
    questions: Vec<Plain>,
    orders: Vec<Order>,
}

impl EngineLink {
    pub(super) fn new(client: ClientId, account: Account, shared: Arc<Shared>) -> Self {
        Self {
            client,
            account,
            limits: UserLimits::default(),
            shared,
            me: None,
            questions: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// From now on the client asks for this account, which may use this much.
    pub(super) fn set_account(&mut self, account: Account, limits: UserLimits) {
        self.account = account;
        self.limits = limits;
    }

    /// The account for which anything was asked.
    pub(super) fn asked_for(&self) -> Option<Account> {
        self.me.is_some().then_some(self.account)
    }

    /// Puts a question, of which nothing is wanted but the answer, into the next message.
    #[inline]
    pub(super) fn ask(&mut self, question: Plain) {
        self.questions.push(question);
    }

    /// Puts an order into the next message.
    pub(super) fn order(&mut self, order: Order) {
        self.orders.push(order);
    }

    /// Sends all that was asked for since the last time.
    #[inline]
    pub(super) fn send(&mut self, me: impl FnOnce() -> Recipient<News>) {
        if self.orders.is_empty() && self.questions.is_empty() {
            return;
        }
        let to = self.me.get_or_insert_with(|| Arc::new(me())).clone();
        self.shared.scheduler.do_send(Requests {
            client: self.client,
            connection: self.client,
            account: self.account,
            limits: self.limits,
            questions: std::mem::take(&mut self.questions),
            orders: std::mem::take(&mut self.orders),
            to,
        });
    }

    /// Stops the work on a request.
    pub(super) fn cancel(&mut self, place: RequestId) {
        // A request that the engine has not been sent yet is not begun.
        self.questions.retain(|(question, _)| *question != place);
        self.orders.retain(|order| order.request != place);
        let client = self.client;
        self.shared.scheduler.do_send(Cancel { client, request: place });
    }

    /// Lets a stream send more rows.
    pub(super) fn grant(&self, place: RequestId, rows: usize) {
        let client = self.client;
        self.shared.scheduler.do_send(Grant {
            client,
            request: place,
            rows,
        });
    }
}

impl Drop for EngineLink {
    fn drop(&mut self) {
        if self.me.is_some() {
            self.shared.scheduler.do_send(Leave(self.client));
        }
    }
}
