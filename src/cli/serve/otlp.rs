//! Traces for a collector of OpenTelemetry: what the engine says at the end of requests and jobs, as spans, over OTLP
//! (protobuf over HTTP).
//!
//! The queue of spans is that of OpenTelemetry's processor: bounded, emptied by a thread of its own, and what does not
//! fit is dropped. So a collector that is slow or down holds up nothing; the log says when it fails and when it works
//! again. Knows no verb.

use super::logging::Beside;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer;
use tracing_subscriber::prelude::*;

/// How long a batch may take, from connecting to the end of the collector's reply.
const MAX_EXPORT: Duration = Duration::from_secs(5);

/// How long the end of the daemon may wait for the last batch.
const MAX_FLUSH: Duration = Duration::from_secs(2);

/// The most that is read of a collector's reply.
const MAX_REPLY: usize = 64 << 10;

/// Where spans go.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    /// As it was written.
    url: String,
}

impl Collector {
    /// Reads `http://HOST:PORT`, perhaps with a path.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let url: Uri = text
            .parse()
            .map_err(|error| format!("{error}; write http://HOST:PORT"))?;
        match (url.scheme_str(), url.host()) {
            (Some("http"), Some(_)) => Ok(Self {
                url: text.trim_end_matches('/').to_owned(),
            }),
            (Some("https"), _) => {
                Err("spans are sent without TLS: to a collector on this machine, which may pass them on".into())
            }
            _ => Err("write http://HOST:PORT".into()),
        }
    }
}

/// Spans on their way.
pub(super) struct Export(SdkTracerProvider);

impl Export {
    /// Starts the thread that sends spans.
    pub(super) fn start(collector: Collector) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", collector.url))
            .build()?;
        let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name("primed"),
        };
        let provider = SdkTracerProvider::builder().with_resource(resource.build());
        Ok(Self(provider.with_batch_exporter(exporter).build()))
    }

    /// What takes the engine's events.
    pub(super) fn layer(&self) -> Beside {
        let wanted = Targets::new().with_target("primed::spans", Level::TRACE);
        Spans(self.0.tracer("primed")).with_filter(wanted).boxed()
    }

    /// Sends what is left, if the collector takes it soon.
    pub(super) fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(MAX_FLUSH) {
            tracing::warn!(%error, "the last spans may not have reached the collector");
        }
    }
}

/// Makes spans of events.
struct Spans(SdkTracer);

impl<S: Subscriber> layer::Layer<S> for Spans {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let end = SystemTime::now();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let status = match fields.outcome.as_str() {
            "ok" => Status::Ok,
            code => Status::error(code.to_owned()),
        };
        let span = self
            .0
            .span_builder(fields.verb)
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(fields.wall).unwrap_or(end))
            .with_attributes(fields.attributes);
        let mut span = self.0.build_with_context(span, &Context::new());
        span.set_status(status);
        span.end_with_timestamp(end);
    }
}

/// What an event has.
#[derive(Default)]
struct Fields {
    verb: String,
    outcome: String,
    wall: Duration,
    attributes: Vec<KeyValue>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "wall_us" {
            self.wall = Duration::from_micros(value);
        } else {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            self.attributes.push(KeyValue::new(attribute(field.name()), value));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "verb" => value.clone_into(&mut self.verb),
            name => {
                if name == "outcome" {
                    value.clone_into(&mut self.outcome);
                }
                self.attributes.push(KeyValue::new(attribute(name), value.to_owned()));
            }
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The name of an attribute, in the namespace of this program.
fn attribute(field: &'static str) -> &'static str {
    match field {
        "client" => "primed.client",
        "request" => "primed.request",
        "job" => "primed.job",
        "questions" => "primed.questions",
        "class" => "primed.class",
        "queue_us" => "primed.queue_us",
        "cpu_us" => "primed.cpu_us",
        "outcome" => "primed.outcome",
        other => other,
    }
}

/// HTTP/1 with a connection for each batch. The exporter's thread has no runtime; this one is its own.
struct Client {
    runtime: Runtime,
    is_failing: AtomicBool,
}

impl Client {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            runtime: runtime::Builder::new_current_thread().enable_all().build()?,
            is_failing: AtomicBool::new(false),
        })
    }

    /// Says it when the collector begins to fail, and when it works again.
    fn note(&self, result: &Result<Response<Bytes>, HttpError>) {
        let failure = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Relaxed);
        match failure {
            Some(error) if !was_failing => {
                tracing::warn!(
                    error,
                    "the collector does not take spans; those that it does not take are lost"
                );
            }
            None if was_failing => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let post = async { tokio::time::timeout(MAX_EXPORT, post(request)).await };
        let result = self
            .runtime
            .block_on(post)
            .unwrap_or_else(|_| Err("it does not reply".into()));
        self.note(&result);
        result
    }
}

async fn post(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let url = std::mem::take(&mut head.uri);
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    head.headers.insert(HOST, HeaderValue::from_str(authority)?);
    head.uri = url.path().parse()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let reply = async {
        let response = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_REPLY).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    tokio::pin!(reply, connection);
    tokio::select! {
        reply = &mut reply => reply,
        // The reply may have come with the end of the connection.
        _ = &mut connection => reply.await,
    }
}
