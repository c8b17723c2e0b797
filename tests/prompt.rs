//! The prompt of `primed ask` at a terminal, which `script` of util-linux provides.

mod support;

use std::net::SocketAddr;
use support::terminal::Terminal;

const CTRL_C: &str = "\x03";

fn start(address: SocketAddr) -> Terminal {
    let command = format!("{} ask --connect {address}", env!("CARGO_BIN_EXE_primed"));
    let home = std::env::temp_dir().join(format!("primed-prompt-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a temporary folder can be made");
    let home = home.to_str().expect("the path is text");
    let mut prompt = Terminal::start(&command, &[("HOME", home), ("NO_COLOR", "1")]);
    prompt.until("primed> ");
    prompt
}

#[test]
fn a_question_with_a_tag_is_not_waited_for() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("@big pi 1e18\r");
    prompt.until("primed> ");
    prompt.press("nth 7\r");
    prompt.until("\n17\r\n");
    prompt.until("primed> ");
    prompt.press("cancel @big\r");
    prompt.until("@big cancelled: ");
    prompt.press("isprime 2^61-1\r");
    prompt.until("\nyes\r\n");
}

#[test]
fn lines_typed_meanwhile_are_neither_shown_in_the_progress_nor_lost_by_ctrl_c() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("pi 1e18\r");
    prompt.until(" %");
    prompt.press("nth 8\rnth 9\r");
    let progress = prompt.until(" %");
    assert!(!progress.contains("nth"), "{}", progress.escape_debug());
    prompt.press(CTRL_C);
    let shown = prompt.until("cancelled: ");
    assert!(!shown.contains("nth"), "{}", shown.escape_debug());
    prompt.until("\n19\r\n");
    prompt.until("\n23\r\n");
}

#[test]
fn ctrl_c_stops_watching_a_job_and_not_the_job() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("submit pi 1e18\r");
    prompt.until("job=1");
    prompt.press("watch 1\r");
    prompt.until(" %");
    prompt.press(CTRL_C);
    prompt.until("no longer watching job 1, which goes on; 'cancel 1' stops it");
    prompt.press("jobs\r");
    prompt.until("id=1 state=running");
    prompt.press("cancel 1\r");
}

#[test]
fn tab_lists_options_and_help_explains_the_prompt() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("isp\t97 \t\t");
    prompt.until("deadline=");
    prompt.until("progress=");
    prompt.press("\rhelp\r");
    let help = prompt.until("the error codes.");
    assert!(help.contains("nth N") && !help.contains("OK"), "{help}");
    prompt.press("bye\r");
    assert!(prompt.end().success());
}
