//! Verbs about who is connected: `clients client kill`.

use super::{Call, Registry, Step, define};
use crate::auth::Role;
use crate::proto::{Failure, MAX_CLIENT_NAME, Value, parse_id};

/// Rows of one answer: what a session may spend on a request.
const MAX_ROWS: usize = 100;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        define("clients [AFTER]", "who is connected, a row each", clients)
            .details(&[
                "At most 100 rows, by number; 'clients 107' goes on after number 107.",
                "name is what 'client name=NAME' has set, in_flight how many requests are",
                "under way, cpu_s what CPU time they took, idle_s how long nothing has arrived.",
            ])
            .role(Role::Operate),
    );
    registry.add(
        define("client name=NAME", "names this connection, for 'clients'", name).details(&[
            "Up to 128 characters without blanks; a lone 'client name=' takes the name",
            "away.",
        ]),
    );
    registry.add(
        define("kill CLIENT", "closes a connection, by its number or address", kill)
            .details(&[
                "CLIENT is as 'clients' has it: 7, or 127.0.0.1:50312.",
                "Its requests are cancelled and get no reply; jobs that it has submitted",
                "go on.",
            ])
            .role(Role::Operate),
    );
}

fn read_id(call: &Call<'_>, text: &str) -> Result<u64, Failure> {
    let bad = |_| {
        call.bad_arg(format_args!(
            "'{}' is no client; 'clients' lists them",
            super::call::shortened(text)
        ))
    };
    parse_id(text).map_err(bad)
}

fn clients(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(1, &[])?;
    let after = call.arg(0).map_or(Ok(0), |text| read_id(call, text))?;
    let rows = call.daemon.clients.list(after, MAX_ROWS);
    Ok(Step::Rows(rows.iter().map(ToString::to_string).collect()))
}

fn name(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(0, &["name"])?;
    let name = call.option("name").ok_or_else(|| call.bad_arg("name is missing"))?;
    let is_word = name.len() <= MAX_CLIENT_NAME && !name.contains(|c: char| c.is_control() || c.is_whitespace());
    if !is_word {
        return Err(call.bad_arg(format_args!(
            "a name has at most {MAX_CLIENT_NAME} bytes, and no blanks"
        )));
    }
    Ok(Step::Name(name.into()))
}

/// `kill CLIENT`, or as `CLIENT KILL` has it: `kill id|addr CLIENT`, which says how many it closed.
fn kill(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(2, &[])?;
    let first = call.required(0, "CLIENT")?;
    let clients = &call.daemon.clients;
    let Some(text) = call.arg(1) else {
        return match find(call, first)?.is_some_and(|id| clients.kill(id)) {
            true => Ok(Step::Answer(Value::Nothing)),
            false => {
                let text = super::call::shortened(first);
                Err(call.refused(format_args!("no client {text} is connected; 'clients' lists them")))
            }
        };
    };
    let found = match first.to_ascii_lowercase().as_str() {
        "id" => Some(read_id(call, text)?),
        "addr" => find(call, text)?,
        _ => return Err(call.bad_arg("CLIENT is one word, or follows 'id' or 'addr'")),
    };
    let count = found.is_some_and(|id| clients.kill(id));
    Ok(Step::Answer(Value::from(u64::from(count))))
}

/// The number of the client with this number or address, if it is connected.
fn find(call: &Call<'_>, text: &str) -> Result<Option<u64>, Failure> {
    match text.parse() {
        Ok(address) => Ok(call.daemon.clients.at(address)),
        Err(_) => read_id(call, text).map(Some),
    }
}
