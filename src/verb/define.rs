//! A verb without a type of its own: how it is written, what it answers, and a closure that reads its arguments.

use super::{Call, Step, Verb};
use crate::auth::Role;
use crate::proto::Failure;

/// A verb made by [`define`].
#[derive(Clone, Copy, Debug)]
pub struct Defined<F> {
    usage: &'static str,
    about: &'static str,
    details: &'static [&'static str],
    role: Role,
    is_free: bool,
    read: F,
}

/// A verb by its parts: how it is written (its name first), what it answers, and what reads its arguments.
///
/// ```
/// use primed::{Daemon, Step, define};
/// let double = define("double N", "twice N", |call| {
///     call.only(1, &[])?;
///     Ok(Step::Answer((2 * call.at_most(0, "N", u64::MAX / 2, "2^63-1")?).into()))
/// });
/// let daemon = Daemon::new().verb(double);
/// ```
pub const fn define<F>(usage: &'static str, about: &'static str, read: F) -> Defined<F>
where
    F: Fn(&Call<'_>) -> Result<Step, Failure> + Send + Sync + 'static,
{
    Defined {
        usage,
        about,
        details: &[],
        role: Role::Ask,
        is_free: false,
        read,
    }
}

impl<F> Defined<F> {
    /// More about it, a line each, for `help VERB`.
    pub const fn details(mut self, lines: &'static [&'static str]) -> Self {
        self.details = lines;
        self
    }

    /// The least role of a user who may ask it.
    pub const fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The same verb, which a client may ask before it has said who it is.
    pub(super) const fn free(mut self) -> Self {
        self.is_free = true;
        self
    }
}

impl<F> Verb for Defined<F>
where
    F: Fn(&Call<'_>) -> Result<Step, Failure> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or(self.usage)
    }

    fn usage(&self) -> &'static str {
        self.usage
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn details(&self) -> &'static [&'static str] {
        self.details
    }

    fn role(&self) -> Role {
        self.role
    }

    fn is_free(&self) -> bool {
        self.is_free
    }

    fn call(&self, call: &Call<'_>) -> Result<Step, Failure> {
        (self.read)(call)
    }
}
