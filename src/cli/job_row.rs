//! A row of `jobs`: words `key=value`, of which the stage and the request may have blanks in them. Knows no output.

use crate::proto::job_fields;
use serde_json::{Map, Value};

/// The fields of a row, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow(Vec<(String, String)>);

impl JobRow {
    /// Reads a row.
    pub(super) fn parse(row: &str) -> Self {
        Self(
            job_fields(row)
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// A field, or an empty text.
    pub(super) fn get(&self, key: &str) -> &str {
        let field = self.0.iter().find(|(known, _)| known == key);
        field.map_or("", |(_, value)| value)
    }

    /// The percentage that is done, while it is running.
    pub(super) fn percent(&self) -> Option<f64> {
        self.get("pct").parse().ok()
    }

    /// The state, with the code of the error of a job that failed.
    pub(super) fn state(&self) -> String {
        match (self.get("state"), self.get("error")) {
            (state, "") => state.to_owned(),
            (state, error) => format!("{state}: {error}"),
        }
    }

    /// An object with the fields as they were sent, which are strings.
    pub(super) fn json(self) -> Value {
        let fields = self.0.into_iter().map(|(key, value)| (key, Value::from(value)));
        Value::Object(fields.collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_rest_of_the_row() {
        let row =
            JobRow::parse("id=7 state=running pct=41.3 eta=18s stage=ecm curves=1/2 cpu=12.5s request=sum 1 2 a=b");
        assert_eq!((row.get("id"), row.get("request")), ("7", "sum 1 2 a=b"));
        assert_eq!((row.percent(), row.state().as_str()), (Some(41.3), "running"));
        assert_eq!((row.get("stage"), row.get("priority")), ("ecm curves=1/2", ""));
        assert_eq!(row.get("cpu"), "12.5s");
    }

    #[test]
    fn a_failure_has_its_code() {
        let row = JobRow::parse("id=7 state=failed error=too-big request=pi 5");
        assert_eq!((row.state().as_str(), row.percent()), ("failed: too-big", None));
    }

    #[test]
    fn any_text_is_a_row() {
        for text in ["", "request=", "x y", "=", " request= request=a"] {
            let row = JobRow::parse(text);
            assert_eq!(row.get("id"), "", "{text}");
        }
    }
}
