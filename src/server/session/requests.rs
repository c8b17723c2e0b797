//! From requests to replies, or to orders for the engine. What a request means is the registry's business.

use super::rows::{MAX_STREAMS, Stream};
use super::{Phase, Session};
use crate::engine::{Ask, Cancel, Order, ROWS_GRANTED, RequestId, Requests, Work};
use crate::job::Job;
use crate::proto::{Code, Failure, Final, Frame, ReplyFormat, Request, Tag, Value};
use crate::verb::{Step, Terms};
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

/// Room made for replies at first.
const FIRST_REPLIES_BYTES: usize = 1 << 10;

impl Session {
    pub(super) fn take_frame(&mut self, frame: Frame<'_>, context: &mut Context<Self>) {
        match frame {
            Frame::Request(request) => self.take_request(&request, context),
            Frame::Answer { format, reply, is_last } => {
                self.answer(&format, reply);
                if is_last {
                    self.lifecycle.phase = Phase::Finishing;
                }
            }
        }
    }

    fn take_request(&mut self, request: &Request<'_>, context: &mut Context<Self>) {
        let manner = &request.format;
        if manner.tag.is_some_and(|tag| self.conversation.tagged(&tag).is_some()) {
            let text = "a request with this tag is under way; use another";
            return self.refuse(manner, Failure::new(Code::DupTag, text));
        }
        if self.lifecycle.is_draining {
            let text = "the daemon is shutting down; ask again when it is back";
            return self.refuse(manner, Failure::new(Code::Draining, text));
        }
        match self.shared.registry.call(request, &self.shared.facts) {
            Err(failure) => self.refuse(manner, failure),
            Ok((Step::Answer(value), _)) => self.answer(manner, Final::Reply(Ok(value))),
            Ok((Step::Constant(value), _)) => {
                // With a tag, the request may have to be refused the next time.
                self.said_a_constant = manner.tag.is_none();
                self.answer(manner, Final::Reply(Ok(value)));
            }
            Ok((Step::Rows(rows), _)) => {
                let reply = Final::Reply(Ok(Value::Nothing));
                self.conversation
                    .answer_rows(manner, Some(rows), reply, &mut self.unsent);
                self.count(true);
            }
            Ok((Step::Job(job), terms)) => match self.found(&job) {
                Some(value) => self.answer(manner, Final::Reply(Ok(value))),
                None if terms == Terms::default() && !job.streams => {
                    let place = self.open(manner, false);
                    self.questions.push((place, job));
                }
                None => self.order(manner, Ask::Answer(job.into()), terms),
            },
            Ok((Step::Ask(Ask::Submit(Work::Plan(job))), terms)) => {
                let ask = match self.found(&job) {
                    Some(value) => Ask::SubmitKnown {
                        title: job.title().into_owned(),
                        value,
                    },
                    None => Ask::Submit(job.into()),
                };
                self.order(manner, ask, terms);
            }
            Ok((Step::External(task), terms)) => self.order(manner, Ask::Answer(task.into()), terms),
            Ok((Step::Ask(ask), terms)) => self.order(manner, ask, terms),
            Ok((Step::Cancel(target), _)) => self.cancel(manner, &target, context),
            Ok((Step::Quit, _)) => {
                self.quit = Some(self.open(manner, false));
                self.lifecycle.phase = Phase::Finishing;
            }
        }
    }

    /// The answer, if it was found for somebody lately.
    fn found(&self, job: &Job) -> Option<Value> {
        let value = job.is_kept.then(|| self.shared.answers.get(&job.title()))??;
        self.shared.facts.metrics.cache_hits.fetch_add(1, Relaxed);
        Some(value)
    }

    fn open(&mut self, manner: &ReplyFormat, has_rows: bool) -> RequestId {
        let Ok(place) = self.conversation.open(manner, has_rows) else {
            unreachable!("the tag was free a moment ago");
        };
        place
    }

    fn order(&mut self, manner: &ReplyFormat, ask: Ask, terms: Terms) {
        let streams = ask.streams();
        let place = self.open(manner, streams);
        let mut rows = 0;
        if streams {
            let may_stream = |stream: &&Stream| self.conversation.may_stream(stream.place);
            if self.conversation.may_stream(place) && self.streams.iter().filter(may_stream).count() < MAX_STREAMS {
                rows = ROWS_GRANTED;
            }
            self.streams.push(Stream { place, granted: rows });
        }
        self.orders.push(Order {
            request: place,
            ask,
            deadline: terms.deadline.map(|wait| (Instant::now() + wait).into_std()),
            progress: terms.progress,
            rows,
        });
    }

    fn cancel(&mut self, manner: &ReplyFormat, target: &Tag, context: &mut Context<Self>) {
        match self.conversation.tagged(target) {
            Some(place) => {
                self.send_orders(context);
                self.shared.scheduler.do_send(Cancel {
                    client: self.id,
                    request: place,
                });
                self.answer(manner, Final::Reply(Ok(Value::Nothing)));
            }
            None => {
                let text = format!("no request @{target} is under way here");
                self.refuse(manner, Failure::new(Code::NoJob, text));
            }
        }
    }

    fn refuse(&mut self, manner: &ReplyFormat, failure: Failure) {
        self.answer(manner, Final::Reply(Err(failure)));
    }

    fn answer(&mut self, manner: &ReplyFormat, reply: Final) {
        self.count(reply.is_ok());
        self.make_room();
        self.conversation.answer(manner, reply, &mut self.unsent);
    }

    /// Room for a hundred short replies, so that it need not grow by and by.
    pub(super) fn make_room(&mut self) {
        if self.unsent.capacity() == 0 {
            self.unsent.reserve(FIRST_REPLIES_BYTES);
        }
    }

    pub(super) fn count(&mut self, is_ok: bool) {
        self.answered += 1;
        self.failed += u64::from(!is_ok);
    }

    /// Sends the engine all jobs that were asked for since the last time, in one message.
    pub(super) fn send_orders(&mut self, context: &mut Context<Self>) {
        if self.orders.is_empty() && self.questions.is_empty() {
            return;
        }
        let to = self
            .me
            .get_or_insert_with(|| Arc::new(context.address().recipient()))
            .clone();
        self.shared.scheduler.do_send(Requests {
            client: self.id,
            questions: std::mem::take(&mut self.questions),
            orders: std::mem::take(&mut self.orders),
            to,
        });
    }
}
