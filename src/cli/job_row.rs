//! A row of `jobs`: words `key=value`, of which the stage and the request may have blanks in them. Knows no output.

use serde_json::{Map, Value};

/// What a job is at.
const STAGE: &str = "stage";
/// The last field: the rest of the row.
const REQUEST: &str = "request";

/// The fields of a row, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow(Vec<(String, String)>);

impl JobRow {
    /// Reads a row. The stage goes up to the CPU time, and the request to the end.
    pub(super) fn parse(row: &str) -> Self {
        let cpu = row.find(" cpu=").unwrap_or(0);
        let (state, words) = row.split_at(cpu);
        let (state, stage) = parted(state, " stage=");
        let (words, request) = parted(words, " request=");
        let field = |word: &str| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let mut fields: Vec<(String, String)> = state.split_whitespace().filter_map(field).collect();
        fields.extend(stage.map(|stage| (STAGE.to_owned(), stage.to_owned())));
        fields.extend(words.split_whitespace().filter_map(field));
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

/// A text up to a mark, and what comes after that if it is there.
fn parted<'a>(text: &'a str, mark: &str) -> (&'a str, Option<&'a str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
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
