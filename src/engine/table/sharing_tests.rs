//! The table of a daemon in a cluster, where jobs of others are known, and taken over.

use super::store_tests::{stored, with_store};
use super::tests::{Play, long};
use super::*;
use crate::engine::message::{Ask, Priority, Subject, Work};
use crate::engine::restored::Restored;

/// A job that another node has taken in, for this owner.
fn of_another(id: u64, owner: &str) -> StoredJob {
    let mut stored = stored(id, Priority::Normal, None);
    owner.clone_into(&mut stored.submission.owner);
    stored
}

fn submitted_by(play: &Play, owner: &str) -> usize {
    let account = owner.parse().expect("it is an account");
    play.table.flow.waiters.counts(account).submitted
}

fn take_over(play: &mut Play, stored: StoredJob, work: Work) {
    let subject = Ok(Subject::Work(work));
    play.table.take_over(Restored { stored, subject }, play.now);
}

#[test]
fn jobs_of_other_nodes_count_for_their_owners() {
    let mut play = with_store();
    let (ann, bob) = (of_another(1_001, "ann"), of_another(2_001, "bob"));
    for stored in [&ann, &bob] {
        play.table.set_away(stored.clone(), "b".into(), play.now);
    }
    assert_eq!((submitted_by(&play, "ann"), submitted_by(&play, "bob")), (1, 1));
    play.order(1, 1, Ask::Cancel(JobId(2_001)), |_| {});
    assert_eq!((submitted_by(&play, "ann"), submitted_by(&play, "bob")), (1, 0));
    play.order(1, 2, Ask::Cancel(JobId(1_001)), |_| {});
    assert_eq!((submitted_by(&play, "ann"), submitted_by(&play, "bob")), (0, 0));
    play.assert_empty();
}

#[test]
fn jobs_of_two_owners_that_are_taken_over_take_turns_with_all_others() {
    let mut play = with_store();
    let (ann, bob) = (of_another(1_001, "ann"), of_another(2_001, "bob"));
    play.table.set_away(ann.clone(), "b".into(), play.now);
    take_over(&mut play, ann, long("of ann", 9));
    play.play_on();
    take_over(&mut play, bob, long("of bob", 900));
    play.express();
    assert_eq!(play.bulk(), Some(play.long("of bob")));
    play.ask(3, 1, long("a", 9));
    play.express();
    play.order(4, 1, Ask::Cancel(JobId(2_001)), |_| {});
    play.play_on();
    play.table
        .ends_settled(vec![JobId(1_001), JobId(2_001)], None, play.now);
    assert_eq!(play.heard(), ["3/1 ok 9", "4/1 ok"]);
    play.assert_empty();
}
