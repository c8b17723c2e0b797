//! From requests to replies, or to orders for the engine. The registry decides what a request means.

use super::access::Login;
use super::sequence::{Pending, is_about_jobs};
use super::{CLOCK_EVERY, Dispatcher, MAX_SEARCHES, OF_SEARCH};
use crate::auth::Role;
use crate::engine::{Ask, Order, RequestId};
use crate::job::Job;
use crate::metrics::VerbLabel;
use crate::proto::{Code, Failure, Final, Frame, Interim, NumberRequest, Reply, ReplyFormat, Request, Tag, Value};
use crate::server::Shared;
use crate::server::session::Link;
use crate::verb::{Caller, Engine, Step, Terms, shown};
use std::fmt::Display;
use tokio::time::Instant;

impl Dispatcher {
    /// Takes in a frame. Gives the verb if the answer to the same bytes is the same for ever.
    pub(super) fn take_frame(&mut self, frame: Frame<'_>, link: &mut Link) -> Option<VerbLabel> {
        match frame {
            Frame::Request(request) => self.take_request(&request, link),
            Frame::Answer {
                format,
                reply,
                is_last,
                logs_out,
            } => {
                self.replies.answer(VerbLabel::default(), &format, reply);
                if logs_out && self.login.user().is_some() {
                    self.login.leave();
                    link.permit.state.set_user("");
                }
                if is_last {
                    link.lifecycle.finish();
                }
                None
            }
        }
    }

    /// Takes in a request of a verb and one number, with the same result as [`take_frame`](Self::take_frame) for a
    /// client that may ask. `Some(Some(verb))`: the answer is the same for ever; `Some(None)`: it is not; `None`: it is
    /// no built-in question, and has to be read in full.
    #[inline]
    pub(super) fn take_number(&mut self, request: &NumberRequest<'_>, link: &Link) -> Option<Option<VerbLabel>> {
        let (verb, step) = link.shared.registry.step_of(request)?;
        match step {
            Step::Constant(value) => {
                self.replies.answer(verb, &request.format, Final::Reply(Ok(value)));
                Some(Some(verb))
            }
            Step::Job(job) => {
                self.take_job(verb, &request.format, job, Terms::default(), link);
                Some(None)
            }
            _ => None,
        }
    }

    #[inline]
    fn take_job(&mut self, verb: VerbLabel, format: &ReplyFormat, job: Job, terms: Terms, link: &Link) {
        match link.shared.answers.find(&job).or_else(|| self.brief(&job, &terms)) {
            Some(value) => self.replies.answer(verb, format, Final::Reply(Ok(value))),
            None if terms == Terms::default() && !job.streams && !job.is_verification() => {
                let id = self.replies.open(verb, format, false);
                self.engine.ask((id, job));
            }
            None => self.order(verb, format, Ask::Answer(job.into()), terms),
        }
    }

    fn take_request(&mut self, request: &Request<'_>, link: &mut Link) -> Option<VerbLabel> {
        let format = &request.format;
        let position = link.shared.registry.position(request.verb);
        let verb = position.map(VerbLabel::at).unwrap_or_default();
        tracing::debug!(
            client = link.permit.client.0,
            request = self.replies.next().0,
            tag = format.tag.as_ref().map(Tag::as_str),
            // What a peer sends may be a password: neither the arguments, nor a word that is no verb.
            verb = position.map_or("(unknown)", |_| request.verb),
            dialect = format.dialect.name(),
            "request"
        );
        if link.shared.daemon.clients.monitor.is_on() {
            self.show(request, position.is_some(), link);
        }
        if let Err(failure) = self.admit(request, link) {
            self.refuse(verb, format, failure);
            return None;
        }
        let caller = SessionCaller {
            login: &self.login,
            link,
        };
        let called = link
            .shared
            .registry
            .call_at(position, request, &link.shared.daemon, Some(&caller));
        match called {
            Err(failure) => {
                if failure.code == Code::Internal {
                    let (client, request) = (link.permit.client.0, self.replies.next().0);
                    tracing::error!(client, request, %failure, "a request failed by a fault");
                }
                self.refuse(verb, format, failure);
            }
            Ok((Step::Answer(value), _)) => {
                if let Value::Facts(_) = value {
                    self.extra = CLOCK_EVERY;
                }
                self.replies.answer(verb, format, Final::Reply(Ok(value)));
            }
            Ok((Step::Constant(value), _)) => {
                self.replies.answer(verb, format, Final::Reply(Ok(value)));
                // With a tag, or by another user, the request may have to be refused the next time.
                let is_for_all = self.login.is_open() || link.shared.registry.role_of(request) == Role::Ask;
                return (format.tag.is_none() && is_for_all).then_some(verb);
            }
            Ok((Step::Rows(rows), _)) => {
                // A list, a page of help, or what a verb makes of much: as much work as many others.
                self.extra = CLOCK_EVERY;
                let reply = Final::Reply(Ok(Value::Nothing));
                self.replies.answer_rows(verb, format, rows, reply);
            }
            Ok((Step::Job(job), terms)) => self.take_job(verb, format, job, terms, link),
            Ok((Step::Ask(Ask::Submit(mut submit)), terms)) => {
                link.shared.answers.substitute(&mut submit);
                self.order(verb, format, Ask::Submit(submit), terms);
            }
            Ok((Step::External(task), terms)) => self.order(verb, format, Ask::Answer(task.into()), terms),
            Ok((Step::Ask(ask), terms)) => self.order(verb, format, ask, terms),
            Ok((Step::Login(_), _)) if self.login.is_open() => {
                let text = "there are no passwords; connect without one";
                self.refuse(verb, format, Failure::new(Code::Denied, text));
            }
            Ok((Step::Login(credentials), _)) => {
                let id = self.replies.open(verb, format, false);
                self.login.begin(id, credentials);
            }
            Ok((Step::Cancel(target), _)) => self.cancel(verb, format, &target, &link.shared),
            Ok((Step::Name(name), _)) => {
                link.permit.state.set_name(&name);
                self.replies.answer(verb, format, Final::Reply(Ok(Value::Nothing)));
            }
            Ok((Step::Quit, _)) => {
                self.quit = Some(self.replies.open(verb, format, false));
                link.lifecycle.finish();
            }
        }
        None
    }

    /// Whether a request is taken in.
    ///
    /// # Errors
    /// Why not: its tag is in use, the daemon drains, or its client may not ask this.
    #[inline]
    fn admit(&mut self, request: &Request<'_>, link: &Link) -> Result<(), Failure> {
        if request
            .format
            .tag
            .is_some_and(|tag| self.replies.tagged(&tag).is_some())
        {
            let text = "a request with this tag is under way; use another";
            return Err(Failure::new(Code::DupTag, text));
        }
        if link.lifecycle.is_draining() {
            return Err(Failure::draining());
        }
        if self.login.is_open() {
            return Ok(());
        }
        let was_known = self.login.user().is_some();
        let checked = self.login.check(request, &link.shared);
        if was_known && self.login.user().is_none() {
            link.permit.state.set_user("");
        }
        checked
    }

    /// Shows a request to those who monitor.
    #[cold]
    fn show(&self, request: &Request<'_>, is_known: bool, link: &Link) {
        let user = self.login.user().map(|name| name as &dyn Display);
        let words = shown(request, is_known, self.login.is_open() || user.is_some());
        let (client, state) = (link.permit.client.0, &*link.permit.state);
        link.shared
            .daemon
            .clients
            .monitor
            .show(client, Some(state), user, &words);
    }

    fn order(&mut self, verb: VerbLabel, format: &ReplyFormat, ask: Ask, terms: Terms) {
        let id = self.replies.open(verb, format, ask.streams());
        let is_confined = self.login.is_confined();
        let request = Pending {
            id,
            ask,
            is_confined,
            terms,
        };
        if format.tag.is_some() || !is_about_jobs(&request.ask) {
            self.send(request);
        } else if let Some(request) = self.sequence.begin(request) {
            self.send(request);
        }
    }

    fn send(&mut self, request: Pending) {
        let Pending {
            id,
            ask,
            is_confined,
            terms,
        } = request;
        let streams = ask.streams();
        let rows = if streams {
            self.streams.begin(id, ask.is_plan(), &self.replies)
        } else {
            0
        };
        self.engine.order(Order {
            request: id,
            ask,
            is_confined,
            deadline: terms.deadline.map(|wait| (Instant::now() + wait).into_std()),
            progress: terms.progress,
            rows,
        });
    }

    /// Cancels the request with this tag. It is answered before the engine has stopped the work, so that its tag is
    /// free at once; what the engine says of it later is ignored.
    fn cancel(&mut self, verb: VerbLabel, format: &ReplyFormat, target: &Tag, shared: &Shared) {
        match self.replies.tagged(target) {
            Some(id) => {
                self.engine.cancel(id, shared);
                self.replies.answer(verb, format, Final::Reply(Ok(Value::Nothing)));
                self.end(id, Err(Failure::new(Code::Cancelled, "cancelled as asked")));
            }
            None => {
                let text = format!("no request @{target} is under way here");
                self.refuse(verb, format, Failure::new(Code::NoJob, text));
            }
        }
    }

    /// Sends what comes before a reply: rows, or progress.
    pub(super) fn take_interim(&mut self, id: RequestId, interim: Interim, link: &Link) {
        let limit = link.limits().max_unsent_bytes;
        let Interim::Rows(rows) = &interim else {
            // Progress is dropped for a client that does not read: it would pile up as long as the work goes on.
            if self.replies.unsent().len() < limit {
                self.replies.interim(id, interim);
            }
            return;
        };
        let is_stream = self.streams.record_rows(id, rows.len());
        self.replies.interim(id, interim);
        if is_stream && self.replies.rows_held(id) > limit {
            // Its dialect needs all rows at once.
            self.engine.cancel(id, &link.shared);
            let text = format!(
                "these rows take more than {limit} bytes, and an array begins with its length: ask for less, or in lines"
            );
            self.end(id, Err(Failure::new(Code::TooBig, text)));
        }
    }

    /// Gives a request its final reply, and lets those begin that waited for it.
    #[inline]
    pub(super) fn end(&mut self, id: RequestId, reply: Reply) {
        self.streams.end(id);
        self.sequence.end(id);
        self.replies.close(id, reply);
        while let Some(request) = self.sequence.next() {
            self.send(request);
        }
    }

    /// The answer, if it takes a microsecond or two: less than to ask a worker for it. CPU time that is limited is
    /// measured, and only workers do that. Many searches of one read are for workers: together they take longer, some
    /// of them twenty times as long, and more than one worker may share them.
    fn brief(&mut self, job: &Job, terms: &Terms) -> Option<Value> {
        let is_measured = self.login.limits().cpu.is_some();
        if is_measured || *terms != Terms::default() || job.is_verification() {
            return None;
        }
        if job.is_search() && self.searches == MAX_SEARCHES {
            return None;
        }
        let value = job.brief()?;
        if job.is_search() {
            self.searches += 1;
            self.extra += OF_SEARCH;
        }
        Some(value)
    }

    fn refuse(&mut self, verb: VerbLabel, format: &ReplyFormat, failure: Failure) {
        self.replies.answer(verb, format, Final::Reply(Err(failure)));
    }
}

/// The client of a session, as a verb may ask for it.
struct SessionCaller<'a> {
    login: &'a Login,
    link: &'a Link,
}

impl Caller for SessionCaller<'_> {
    fn engine(&self) -> Result<Engine, Failure> {
        self.login.engine(self.link.permit.client, &self.link.shared)
    }
}
