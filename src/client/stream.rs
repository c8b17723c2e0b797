//! Rows as they come, on a connection of their own: a slow reader of rows delays no other request, and the daemon waits
//! for it.

use super::Error;
use super::connection::{Responses, next, responses};
use super::connector::{Connector, LOGIN_TAG, Writer};
use crate::proto::Failure;
use crate::proto::codec::Part;
use std::collections::VecDeque;
use tokio::io::AsyncWriteExt;

/// The rows of one request. Dropped, the request is cancelled.
pub struct Rows {
    responses: Responses,
    /// Kept open: a connection that is closed cancels.
    _writer: Writer,
    value: Option<String>,
    /// The failure that was the reply, which nothing follows.
    failure: Option<Failure>,
}

impl Rows {
    pub(super) async fn ask(connector: &Connector, words: &str) -> Result<Self, Error> {
        let request = connector.request(words)?;
        let (reader, mut writer) = connector.open().await?;
        writer.write_all(request.as_bytes()).await?;
        writer.flush().await?;
        Ok(Self {
            responses: responses(reader),
            _writer: writer,
            value: None,
            failure: None,
        })
    }

    /// The next row; `None` after the last, when [`value`](Self::value) is there.
    ///
    /// # Errors
    /// What the daemon says, also every time after that, or that the connection is lost.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        if let Some(failure) = &self.failure {
            return Err(Error::Failure(failure.clone()));
        }
        while self.value.is_none() {
            let response = next(&mut self.responses).await?;
            let is_login = response.tag.is_some_and(|tag| tag.as_str() == LOGIN_TAG);
            match response.part {
                Part::Final(Ok(_)) if is_login => {}
                Part::Row(row) => return Ok(Some(row)),
                Part::Progress(_) => {}
                Part::Final(Ok(data)) => self.value = Some(data.into()),
                Part::Final(Err(failure)) => {
                    self.failure = Some(failure.clone());
                    return Err(Error::Failure(failure));
                }
            }
        }
        Ok(None)
    }

    /// The value after `OK`, once there are no more rows.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

/// Primes as they are found. Dropped, the search ends.
pub struct Primes {
    rows: Rows,
    row: VecDeque<u64>,
}

impl Primes {
    pub(super) const fn new(rows: Rows) -> Self {
        let row = VecDeque::new();
        Self { rows, row }
    }

    /// The next prime; `None` after the last.
    ///
    /// # Errors
    /// What the daemon says, or that the connection is lost.
    pub async fn next(&mut self) -> Result<Option<u64>, Error> {
        loop {
            if let Some(prime) = self.row.pop_front() {
                return Ok(Some(prime));
            }
            let Some(row) = self.rows.next().await? else {
                return Ok(None);
            };
            let primes = row.split(' ').map(str::parse).collect::<Result<_, _>>();
            self.row = primes.map_err(|_| Error::Unexpected(row))?;
        }
    }
}
