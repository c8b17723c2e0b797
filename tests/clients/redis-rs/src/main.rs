//! The Rust crate `redis` against the primed on this port: blocking and asynchronous, in RESP2 and RESP3.

use redis::{AsyncConnectionConfig, Client, Connection, ErrorKind, FromRedisValue, RedisResult, Value, cmd, pipe};
use std::time::Duration;

fn ask<T: FromRedisValue>(primed: &mut Connection, request: &str) -> RedisResult<T> {
    let mut words = request.split(' ');
    let mut command = cmd(words.next().expect("a request has a word"));
    words.for_each(|word| _ = command.arg(word));
    command.query(primed)
}

fn blocking(client: &Client) -> RedisResult<()> {
    let mut primed = client.get_connection()?;
    assert_eq!(ask::<u64>(&mut primed, "nth 100000")?, 1_299_709);
    assert!(ask::<bool>(&mut primed, "isprime 2^127-1")?);
    assert_eq!(ask::<Vec<u64>>(&mut primed, "primes 100 110")?, [101, 103, 107, 109]);
    // Without its feature num-bigint, a big number of RESP3 is left as it came.
    let (Value::BulkString(digits) | Value::BigNumber(digits)) = ask(&mut primed, "prev 2^64")? else {
        panic!("a number beyond 2^63 is sent as its digits");
    };
    assert_eq!(digits, b"18446744073709551557");
    assert_eq!(ask::<u64>(&mut primed, "pi 1e15 progress=100ms")?, 29_844_570_422_669);
    for (request, code) in [("nht 5", "UNKNOWN-VERB"), ("nth x", "BAD-ARG"), ("MULTI", "DENIED")] {
        let error = ask::<u64>(&mut primed, request).expect_err("it is refused");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Extension, Some(code)),
            "{request}"
        );
    }
    let mut pipeline = pipe();
    (1..=1000).for_each(|n| _ = pipeline.cmd("nth").arg(n));
    assert_eq!(pipeline.query::<Vec<u64>>(&mut primed)?[999], 7919);

    // A question that takes longer than the client waits: the connection is lost, and another is as good.
    primed.set_read_timeout(Some(Duration::from_millis(100)))?;
    assert!(ask::<u64>(&mut primed, "pi 1e19").is_err_and(|error| error.is_timeout()));
    assert_eq!(ask::<u64>(&mut client.get_connection()?, "nth 7")?, 17);
    Ok(())
}

async fn asynchronous(client: &Client) -> RedisResult<()> {
    // By itself it waits for half a second only.
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut primed = client.get_multiplexed_async_connection_with_config(&patient).await?;
    assert_eq!(cmd("nth").arg(1000).query_async::<u64>(&mut primed).await?, 7919);
    let pi: u64 = cmd("pi")
        .arg("2e15")
        .arg("progress=100ms")
        .query_async(&mut primed)
        .await?;
    assert_eq!(pi, 58_478_215_681_891);
    let mut pipeline = pipe();
    (1..=1000).for_each(|n| _ = pipeline.cmd("nth").arg(n));
    assert_eq!(pipeline.query_async::<Vec<u64>>(&mut primed).await?[999], 7919);
    Ok(())
}

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).expect("a port");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // RESP3 first: a question is worked out only the first time, and then pushes come before the answer.
    for protocol in ["resp3", "resp2"] {
        let client = Client::open(format!("redis://127.0.0.1:{port}/?protocol={protocol}"))?;
        blocking(&client)?;
        runtime.block_on(asynchronous(&client))?;
    }
    println!("fine");
    Ok(())
}
