//! HTTP on an address of its own: health, metrics, a JSON interface, and the dashboard.
//!
//! A connection is a session like any other: the listener accepts it, counts it, limits it and drains it. `session`
//! moves its bytes, `guard` refuses what a foreign web page may have sent, `login` says which user a request is of,
//! `routes` says what there is. Requests go to the engine as those of a client of their own, on the account of its user
//! or address, so that all limits hold. Knows no plan and no actor of the engine.

mod answer;
mod ask;
mod body;
mod counted;
mod events;
mod guard;
mod health;
mod info;
mod jobs;
mod login;
mod openapi;
mod openmetrics;
mod page;
mod query;
mod routes;
mod session;
mod timeout;

pub(crate) use session::service;
