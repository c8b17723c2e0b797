//! A row of `jobs`: words `key=value`, the last of which may have blanks in it. Knows no output.

use serde_json::{Map, Value};

/// The last field: the rest of the row.
const REQUEST: &str = "request";

/// The fields of a row, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow(Vec<(String, String)>);

impl JobRow {
    /// Reads a row. A word without `=` belongs to the field before it.
    pub(super) fn parse(row: &str) -> Self {
        let (words, request) = match row.split_once(" request=") {
            Some((words, request)) => (words, Some(request)),
            None => (row, None),
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        for word in words.split_whitespace() {
            match (word.split_once('='), fields.last_mut()) {
                (Some((key, value)), _) => fields.push((key.to_owned(), value.to_owned())),
                (None, Some((_, value))) => *value = format!("{value} {word}"),
                (None, None) => {}
            }
        }
        fields.extend(request.map(|request| (REQUEST.to_owned(), request.to_owned())));
        Self(fields)
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
        assert_eq!((row.get("curves"), row.get("priority")), ("1/2", ""));
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
