//! `/v1/jobs`: submitted jobs, their progress and their answers.

use super::answer::{failed, json_reply, object, wrong};
use super::ask::{collect, question, question_within, whole};
use super::body::{read_object, texts};
use super::events::{Format, no_events, stream};
use super::guard::Caller;
use super::query::{NoQuery, query};
use crate::engine::JobId;
use crate::proto::{Code, Failure, job_fields};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value as Json, json};

/// What a path has for a job's ID; no text where it is no UTF-8.
type Id = Result<Path<String>, PathRejection>;

pub(super) async fn submit(Extension(caller): Extension<Caller>, request: Request) -> Response {
    let object = match read_object(&caller.owed, request).await {
        Ok(object) => object,
        Err(refusal) => return refusal,
    };
    let words = texts(&object, ["request", "id", "priority", "after", "deadline"]).and_then(|[words, options @ ..]| {
        let mut words = format!("submit {}", words.unwrap_or_default());
        for (key, option) in ["id", "priority", "after", "deadline"].into_iter().zip(options) {
            if let Some(option) = option {
                if option.is_empty() || option.contains(char::is_whitespace) {
                    return Err(wrong(&format!("'{key}' is one word")));
                }
                words.push_str(&format!(" {key}={option}"));
            }
        }
        Ok(words)
    });
    let words = match words {
        Ok(words) => words,
        Err(failure) => return failed(&failure),
    };
    let (question, counted) = question(&caller, &words);
    match collect(question.events(), counted).await {
        Err(failure) => failed(&failure),
        Ok((_, value)) => {
            let id = value
                .as_str()
                .and_then(|text| text.strip_prefix("job="))
                .unwrap_or_default();
            let mut response = json_reply(StatusCode::CREATED, &json!({"job": id}));
            if let Ok(location) = HeaderValue::try_from(format!("/v1/jobs/{id}")) {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
    }
}

pub(super) async fn list(Extension(caller): Extension<Caller>, _: NoQuery) -> Response {
    match rows(&caller, "jobs").await {
        Ok(jobs) => json_reply(StatusCode::OK, &json!({"jobs": jobs})),
        Err(failure) => failed(&failure),
    }
}

pub(super) async fn show(Extension(caller): Extension<Caller>, _: NoQuery, id: Id) -> Response {
    let shown = match about(&id, "jobs") {
        Err(failure) => Err(failure),
        Ok(words) => rows(&caller, &words).await,
    };
    match shown.map(|jobs| jobs.into_iter().next()) {
        Err(failure) => failed(&failure),
        Ok(Some(job)) => json_reply(StatusCode::OK, &job),
        // It was forgotten just now.
        Ok(None) => failed(&Failure::new(Code::NoJob, "there is no such job")),
    }
}

pub(super) async fn cancel(Extension(caller): Extension<Caller>, _: NoQuery, id: Id) -> Response {
    match about(&id, "cancel") {
        Err(failure) => failed(&failure),
        Ok(words) => {
            let (question, counted) = question(&caller, &words);
            whole(question.events(), counted).await
        }
    }
}

pub(super) async fn result(Extension(caller): Extension<Caller>, id: Id, uri: Uri) -> Response {
    let asked = about(&id, "result").and_then(|words| {
        let [wait] = query(&uri, ["deadline"])?;
        question_within(&caller, &words, wait, None)
    });
    match asked {
        Err(failure) => failed(&failure),
        Ok((question, counted)) => whole(question.events(), counted).await,
    }
}

/// The events of a job; to `HEAD`, what a stream begins with, for which nothing is asked.
pub(super) async fn events(Extension(caller): Extension<Caller>, method: Method, id: Id, uri: Uri) -> Response {
    let asked = about(&id, "watch").and_then(|words| Ok((words, query(&uri, ["deadline", "progress"])?)));
    let asked = match asked {
        Ok(_) if method == Method::HEAD => return no_events(Format::Sse),
        Ok((words, [wait, progress])) => question_within(&caller, &words, wait, progress),
        Err(failure) => Err(failure),
    };
    match asked {
        Err(failure) => failed(&failure),
        Ok((question, counted)) => stream(Format::Sse, question.events(), counted),
    }
}

/// The request of this verb about a job. An ID is a number: nothing else gets into the line.
fn about(id: &Id, verb: &str) -> Result<String, Failure> {
    let id = id.as_ref().ok().and_then(|Path(id)| id.parse::<JobId>().ok());
    let id = id.ok_or_else(|| wrong("a job's ID is a number"))?;
    Ok(format!("{verb} {id}"))
}

async fn rows(caller: &Caller, words: &str) -> Result<Vec<Json>, Failure> {
    let (question, counted) = question(caller, words);
    let (rows, _) = collect(question.events(), counted).await?;
    Ok(rows.iter().map(|row| job(row)).collect())
}

/// A row of `jobs` as an object, in which progress is an object of its own.
pub(super) fn job(row: &str) -> Json {
    let mut job = object(job_fields(row));
    let running = ["pct", "eta", "stage"];
    let progress: Map<_, _> = running.into_iter().filter_map(|key| job.remove_entry(key)).collect();
    if !progress.is_empty() {
        job.insert("progress".to_owned(), progress.into());
    }
    Json::Object(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_object_whatever_its_question_looks_like() {
        let row = "id=7 state=running pct=41.3 eta=18s cpu=1.5s owner=127.0.0.1 submitted=x resumed=0 priority=high request=pi 1e9 id=8";
        let shown = job(row);
        assert_eq!(
            (&shown["id"], &shown["state"], &shown["request"]),
            (&json!("7"), &json!("running"), &json!("pi 1e9 id=8"))
        );
        assert_eq!(shown["progress"], json!({"pct": "41.3", "eta": "18s"}));
        assert_eq!(job("id=- state=queued cpu=0.0s request=")["progress"], Json::Null);
        let failed = job("id=3 state=failed error=deadline cpu=0.1s owner=x request=pi 9");
        assert_eq!(
            (&failed["error"], &failed["progress"]),
            (&json!("deadline"), &Json::Null)
        );
    }

    #[test]
    fn a_stage_is_all_its_words() {
        let shown =
            job("id=7 state=running pct=0.0 stage=ecm curves=1/9 id=8 request=x cpu=1.5s owner=x request=factor 9");
        let progress = json!({"pct": "0.0", "stage": "ecm curves=1/9 id=8 request=x"});
        assert_eq!(
            (&shown["id"], &shown["request"], &shown["progress"]),
            (&json!("7"), &json!("factor 9"), &progress)
        );
    }

    #[test]
    fn nothing_but_a_number_is_an_id() {
        assert_eq!(
            about(&Ok(Path("7".into())), "cancel").map_err(|failure| failure.code),
            Ok("cancel 7".into())
        );
        for id in ["all", "7 8", "@a", "", "-1", "+1", "owner=127.0.0.1"] {
            assert_eq!(
                about(&Ok(Path(id.into())), "cancel").map_err(|failure| failure.code),
                Err(Code::BadArg),
                "{id}"
            );
        }
    }
}
