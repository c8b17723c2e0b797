//! Who the client of a session is, and whether it may ask what it asks. Knows no reply.

use crate::auth::{self, Credentials, Identity, Role, UserLimits, UserName};
use crate::engine::{Account, ClientId, RequestId};
use crate::proto::{Code, Failure, Request};
use crate::server::Shared;
use crate::server::session::{Checked, ReplyTo};
use crate::verb::Engine;
use std::mem;
use std::net::IpAddr;

/// What the client of a session may do.
pub(super) enum Access {
    /// There are no users: everything.
    Open,
    /// Next to nothing, until it says who it is.
    Unknown,
    Known(Box<Known>),
}

/// What the user may do; and the version of the users at which that was so.
pub(super) struct Known {
    identity: Identity,
    version: u64,
}

/// The access of a session, and the password that is being checked.
pub(super) struct Login {
    access: Access,
    /// Where the connection comes from, as accounts have it.
    from: IpAddr,
    checking: Option<RequestId>,
    /// What is to be checked, until it is sent.
    unsent: Option<Box<Credentials>>,
    /// The user has logged out, and what was asked before is still to be sent for that user.
    is_leaving: bool,
    /// How much the user before may use: requests about jobs that wait for their turn are sent later.
    left: UserLimits,
}

impl Access {
    /// That of a client which has said nothing yet.
    pub(super) const fn of(shared: &Shared) -> Self {
        match shared.auth {
            None => Self::Open,
            Some(_) => Self::Unknown,
        }
    }
}

/// The failure of a client that has yet to say who it is.
fn unknown() -> Failure {
    let text = "say who you are first: auth USER PASSWORD";
    Failure::new(Code::Unauthenticated, text)
}

impl Login {
    /// The login of a client with this access, and this address.
    pub(super) fn new(access: Access, peer: IpAddr) -> Self {
        let from = match peer.into() {
            Account::Address(address) => address,
            Account::Process | Account::Unix | Account::User(_) => peer,
        };
        Self {
            access,
            from,
            checking: None,
            unsent: None,
            is_leaving: false,
            left: UserLimits::default(),
        }
    }

    /// What is left of it, if no password is being checked.
    pub(super) fn rest(&mut self) -> Option<Access> {
        (self.checking.is_none() && self.unsent.is_none()).then(|| mem::replace(&mut self.access, Access::Unknown))
    }

    /// True while nothing else is taken in.
    #[inline]
    pub(super) const fn is_checking(&self) -> bool {
        self.checking.is_some() || self.is_leaving
    }

    /// True if every question may be asked, as far as is known without a look at the users.
    #[inline]
    pub(super) fn may_ask(&self, shared: &Shared) -> bool {
        match (&self.access, &shared.auth) {
            (Access::Open, _) => true,
            (Access::Known(known), Some(auth)) => known.version == auth.version(),
            (Access::Known(_) | Access::Unknown, _) => false,
        }
    }

    /// The user, once he has said who he is.
    pub(super) const fn user(&self) -> Option<&UserName> {
        match &self.access {
            Access::Known(known) => Some(&known.identity.name),
            Access::Open | Access::Unknown => None,
        }
    }

    /// The engine for what the client's verbs ask.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub(super) fn engine(&self, client: ClientId, shared: &Shared) -> Result<Engine, Failure> {
        let user = match (&self.access, &shared.auth) {
            (Access::Open, _) => None,
            (Access::Known(known), Some(auth)) => Some((known.identity, auth.clone())),
            (Access::Known(_), None) | (Access::Unknown, _) => return Err(unknown()),
        };
        Ok(shared.engine.for_verbs(client, user, self.from.into()))
    }

    /// True if there are no users.
    #[inline]
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.access, Access::Open)
    }

    /// True if it sees no jobs but its own.
    pub(super) fn is_confined(&self) -> bool {
        match &self.access {
            Access::Open => false,
            Access::Unknown => true,
            Access::Known(known) => known.identity.role < Role::Operate,
        }
    }

    /// Whose share of the machine it uses.
    pub(super) fn account(&self) -> Account {
        match &self.access {
            Access::Known(known) => Account::User(known.identity.name),
            Access::Open | Access::Unknown => self.from.into(),
        }
    }

    /// How much its user may use.
    pub(super) fn limits(&self) -> UserLimits {
        match &self.access {
            Access::Known(known) => known.identity.limits,
            Access::Open | Access::Unknown => self.left,
        }
    }

    /// Whether the client may ask this.
    ///
    /// # Errors
    /// `unauthenticated`, or `denied` with the role that it takes.
    #[cold]
    pub(super) fn check(&mut self, request: &Request<'_>, shared: &Shared) -> Result<(), Failure> {
        if let (Access::Known(known), Some(auth)) = (&self.access, &shared.auth)
            && known.version != auth.version()
        {
            let version = auth.version();
            let limits = known.identity.limits;
            self.access = match auth.refresh(&known.identity) {
                Some(identity) => Access::Known(Box::new(Known { identity, version })),
                None => {
                    self.left = limits;
                    Access::Unknown
                }
            };
        }
        match &self.access {
            Access::Open => Ok(()),
            Access::Unknown if shared.registry.is_free(request) => Ok(()),
            Access::Unknown => Err(unknown()),
            Access::Known(known) => shared.registry.check(known.identity.name, known.identity.role, request),
        }
    }

    /// Credentials are to be checked, for this request.
    pub(super) fn begin(&mut self, request: RequestId, credentials: Credentials) {
        self.checking = Some(request);
        self.unsent = Some(Box::new(credentials));
    }

    /// The user logs out, once what was asked before is sent; until then nothing else is taken in.
    pub(super) const fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Sends what is to be checked for this client, or logs its user out. What was asked before is sent.
    #[inline]
    pub(super) fn send(&mut self, client: ClientId, shared: &Shared, to: &ReplyTo) {
        if mem::take(&mut self.is_leaving) {
            self.left = self.limits();
            self.access = Access::Unknown;
        }
        if let Some(credentials) = self.unsent.take()
            && let Some(auth) = &shared.auth
        {
            let verdicts = to.verdicts.clone();
            auth.check(
                self.from,
                *credentials,
                Box::new(move |verdict| verdicts.do_send(Checked(client, verdict))),
            );
        }
    }

    /// The request whose password was checked.
    pub(super) const fn end(&mut self) -> Option<RequestId> {
        self.checking.take()
    }

    /// The client is this user from now on.
    ///
    /// # Errors
    /// `denied` if the connection has asked for another user before: what is under way belongs to that one.
    /// `unauthenticated` if the user is gone by now.
    pub(super) fn grant(
        &mut self,
        identity: Identity,
        shared: &Shared,
        asked_for: Option<Account>,
    ) -> Result<Account, Failure> {
        if let Some(before) = asked_for
            && before != Account::User(identity.name)
        {
            let text = format!("this connection has asked for {before}; open another one");
            return Err(Failure::new(Code::Denied, text));
        }
        // The users may have changed while the password was being checked.
        let (version, identity) = match &shared.auth {
            Some(auth) => (auth.version(), auth.refresh(&identity)),
            None => (0, Some(identity)),
        };
        let identity = identity.ok_or_else(auth::wrong)?;
        let name = identity.name;
        self.access = Access::Known(Box::new(Known { identity, version }));
        Ok(Account::User(name))
    }
}
