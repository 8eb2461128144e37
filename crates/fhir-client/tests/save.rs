//! Saving Observations, against a FHIR server over HTTP with the habits of
//! real ones.

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::SystemTime;

use delivery::{Away, Fence, Reason, SaveOutcome, Turn};
use fhir_client::client::Client;
use fhir_client::save::{Draft, SaveCounts, SaveOptions, Saver, Window};
use futures::future::{BoxFuture, FutureExt, ready};
use mapping::identifier::SERVICE_SYSTEM;
use mapping::observation::Observation;
use serde_json::{Value, json};
use support::samples::{Samples, samples, words};
use support::{AZURE, HAPI, Habits, SEKMET, Server, State, UUID, outcome, soon, start};

const ALL: [Habits; 5] = [HAPI, SEKMET, AZURE, UUID, Habits { batch: false, ..HAPI }];

fn saver(server: &Server, change: impl FnOnce(&mut SaveOptions)) -> Saver {
    let mut options = SaveOptions::default();
    change(&mut options);
    Saver::new(server.client(), options)
}

/// The outcomes as words, `;` between them.
async fn save(saver: &Saver, drafts: &[Samples]) -> String {
    words(saver.save(drafts, Window::until(soon())).await)
}

fn data(server: &Server, samples: &Samples) -> String {
    let stored = server.get(&samples.path()).unwrap();
    stored["valueSampledData"]["data"].as_str().unwrap().to_owned()
}

/// Something else happens once, right before the first PUT of this Observation.
fn before_first_put(server: &Server, path: String, mut act: impl FnMut(&mut State) + Send + 'static) {
    let mut done = false;
    server.before(move |state, seen| {
        if seen.method == "PUT" && seen.path == path && !done {
            done = true;
            act(state);
        }
        None
    });
}

#[tokio::test]
async fn creates_merges_and_leaves_alone() {
    for habits in ALL {
        let server = start(habits).await;
        let first = samples("d1", &[(0, "60")]);
        for cache_bytes in [0, 1 << 20] {
            let saver = saver(&server, |options| options.cache_bytes = cache_bytes);
            let device = format!("d{cache_bytes}");
            let two = |a, b| [samples(&device, a), samples("other", b)];
            assert_eq!(save(&saver, &two(&[(0, "60")], &[(0, "1")])).await.split(';').next(), Some("created"));
            assert_eq!(save(&saver, &two(&[(5, "65")], &[(0, "1")])).await, "merged;unchanged");
            assert_eq!(save(&saver, &two(&[(5, "65")], &[(0, "1")])).await, "unchanged;unchanged");
            assert_eq!(data(&server, &samples(&device, &[])), "60 E E E E 65");
            assert_eq!(server.get(&samples(&device, &[]).path()).unwrap()["status"], "amended");
            assert_eq!(saver.counts(), SaveCounts::default());
        }
        assert_eq!(server.versions(&first.path()), 0);
    }
}

#[tokio::test]
async fn writes_an_observation_once_a_window() {
    let server = start(HAPI).await;
    let saver = saver(&server, |_| {});
    let drafts = [samples("d1", &[(0, "60")]), samples("d2", &[(0, "1")]), samples("d1", &[(0, "61"), (1, "62")])];
    assert_eq!(save(&saver, &drafts).await, "created;created;created");
    assert_eq!(data(&server, &drafts[0]), "61 62 E E E E");
    assert_eq!(server.versions(&drafts[0].path()), 1);
}

#[tokio::test]
async fn needs_few_round_trips() {
    let server = start(HAPI).await;
    let client = server.client();
    let saver = Saver::new(client.clone(), SaveOptions::default());
    let window = |value: &str| -> Vec<Samples> {
        (0..1000).map(|device| samples(&format!("d{device}"), &[(0, value)])).collect()
    };
    assert!(save(&saver, &window("60")).await.split(';').all(|word| word == "created"));
    assert_eq!(client.round_trips(), 20);
    assert!(save(&saver, &window("61")).await.split(';').all(|word| word == "merged"));
    assert_eq!(client.round_trips(), 30, "what was just written needs no read");
}

/// The condition travels as a header or in the entry of a bundle.
#[tokio::test]
async fn says_what_each_write_expects() {
    for batch in [true, false] {
        let server = start(Habits { batch, ..HAPI }).await;
        let saver = saver(&server, |_| {});
        let pair = |value: &str| [samples("d1", &[(0, value)]), samples("d2", &[(0, value)])];
        save(&saver, &pair("1")).await;
        save(&saver, &pair("2")).await;
        let conditions: Vec<String> = server
            .seen()
            .iter()
            .flat_map(|seen| {
                let of = |value: &Value| value.as_str().map(str::to_owned);
                let entries = seen.body["entry"].as_array().cloned().unwrap_or_default();
                let inner = entries
                    .into_iter()
                    .filter_map(move |entry| of(&entry["request"]["ifNoneMatch"]).or(of(&entry["request"]["ifMatch"])));
                inner.chain(seen.if_none_match.clone()).chain(seen.if_match.clone()).collect::<Vec<_>>()
            })
            .collect();
        // A server without batches is asked by bundle once, to read.
        assert_eq!(conditions, ["*", "*", "W/\"1\"", "W/\"1\""], "batch {batch}");
    }
}

#[tokio::test]
async fn merges_again_after_a_conflict() {
    for habits in ALL {
        let server = start(habits).await;
        let saver = saver(&server, |_| {});
        let ours = samples("d1", &[(0, "60")]);
        save(&saver, std::slice::from_ref(&ours)).await;
        // Another writer is faster; our memory is then old.
        let other = samples("d1", &[(3, "63")]);
        server.put(other.merged_into(&server.get(&ours.path()).unwrap()));
        assert_eq!(save(&saver, &[samples("d1", &[(5, "65")])]).await, "merged", "{habits:?}");
        assert_eq!(data(&server, &ours), "60 E E 63 E 65", "{habits:?}");
        assert_eq!(saver.counts(), SaveCounts { conflicts: 1, overwrites: 0 });
    }
}

/// Somebody else is faster each time.
#[tokio::test]
async fn gives_up_after_so_many_conflicts() {
    let server = start(HAPI).await;
    let saver = saver(&server, |options| options.rounds_max = 4);
    let ours = samples("d1", &[(0, "60")]);
    server.put(samples("d1", &[(3, "0")]).alone());
    let (path, mut writes) = (ours.path(), 0);
    server.before(move |state, seen| {
        if seen.method == "PUT" && seen.path == path {
            writes += 1;
            state.write(samples("d1", &[(3, &writes.to_string())]).alone());
        }
        None
    });
    let drafts = [ours, samples("d2", &[(0, "60")])];
    assert_eq!(save(&saver, &drafts).await, "WriteConflict;created");
    assert_eq!(saver.counts().conflicts, 4);
}

#[tokio::test]
async fn merges_back_what_a_create_overwrote() {
    for habits in [HAPI, SEKMET, AZURE, Habits { keeps_if_none_match: false, ..UUID }] {
        for batch in [true, false] {
            let server = start(Habits { batch, ..habits }).await;
            let saver = saver(&server, |_| {});
            let (ours, second) = (samples("d1", &[(0, "60")]), samples("d2", &[(0, "60")]));
            let other = samples("d1", &[(3, "63")]).alone();
            before_first_put(&server, ours.path(), move |state| state.write(other.clone()));
            let path = samples("d1", &[]);
            assert_eq!(save(&saver, &[ours, second]).await, "created;created", "{habits:?}");
            assert_eq!(data(&server, &path), "60 E E 63 E E", "{habits:?}");
            assert_eq!(saver.counts(), SaveCounts { conflicts: 0, overwrites: 1 });
        }
    }
}

#[tokio::test]
async fn merges_into_what_is_there_when_the_server_keeps_it() {
    let server = start(UUID).await;
    let saver = saver(&server, |_| {});
    let ours = samples("d1", &[(0, "60")]);
    let other = samples("d1", &[(3, "63")]).alone();
    before_first_put(&server, ours.path(), move |state| state.write(other.clone()));
    assert_eq!(save(&saver, &[ours]).await, "merged");
    assert_eq!(data(&server, &samples("d1", &[])), "60 E E 63 E E");
    assert_eq!(saver.counts(), SaveCounts { conflicts: 1, overwrites: 0 });
}

/// A server that ignores `If-Match`: only the number of the version shows it.
#[tokio::test]
async fn merges_back_what_an_update_overwrote() {
    let server = start(HAPI).await;
    let saver = saver(&server, |_| {});
    let first = samples("d1", &[(0, "60")]);
    save(&saver, std::slice::from_ref(&first)).await;
    let other = samples("d1", &[(0, "61"), (3, "63")]).merged_into(&server.get(&first.path()).unwrap());
    let (path, mut done) = (first.path(), false);
    server.before(move |state, seen| {
        if seen.method != "PUT" || seen.path != path || done {
            return None;
        }
        done = true;
        state.write(other.clone());
        let mut ours = seen.body.clone();
        ours.as_object_mut().unwrap().remove("meta");
        state.write(ours.clone());
        Some((200, vec![("etag", "W/\"3\"".to_owned())], ours))
    });
    assert_eq!(save(&saver, &[samples("d1", &[(5, "65")])]).await, "merged");
    // The other's correction of the first sample is newer than what we knew.
    assert_eq!(data(&server, &first), "61 E E 63 E 65");
    assert_eq!(saver.counts().overwrites, 1);
}

/// While we merge back, somebody else writes over our version, which lacks what
/// we overwrote: it must come from our memory.
#[tokio::test]
async fn remembers_what_was_overwritten_through_a_second_conflict() {
    let server = start(HAPI).await;
    let saver = saver(&server, |_| {});
    let ours = samples("d1", &[(0, "60")]);
    let (first, path) = (samples("d1", &[(3, "63")]).alone(), ours.path());
    let mut puts = 0;
    server.before(move |state, seen| {
        if seen.method == "PUT" && seen.path == path {
            puts += 1;
            match puts {
                1 => state.write(first.clone()),
                2 => state.write(samples("d1", &[(4, "64")]).merged_into(&samples("d1", &[(0, "60")]).alone())),
                _ => {}
            }
        }
        None
    });
    assert_eq!(save(&saver, &[ours]).await, "created");
    assert_eq!(data(&server, &samples("d1", &[])), "60 E E 63 64 E");
    assert_eq!(saver.counts(), SaveCounts { conflicts: 1, overwrites: 1 });
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    for habits in [HAPI, SEKMET, AZURE, UUID, Habits { keeps_if_none_match: false, ..UUID }] {
        let server = start(habits).await;
        let writers = (0..6).map(|step| {
            let saver = saver(&server, |options| options.rounds_max = 50);
            async move {
                let value = format!("6{step}");
                // Alone in its bundle or with another, as it comes.
                let drafts = [samples("d1", &[(step, &value)]), samples(&format!("w{step}"), &[(0, "1")])];
                let count = if step % 2 == 0 { 1 } else { 2 };
                save(&saver, &drafts[..count]).await
            }
        });
        let outcomes = futures::future::join_all(writers).await;
        assert!(outcomes.iter().all(|outcome| !outcome.contains("away")), "{outcomes:?}");
        assert_eq!(data(&server, &samples("d1", &[])), "60 61 62 63 64 65", "{habits:?}");
    }
}

#[tokio::test]
async fn a_crash_before_merging_back_is_repaired_by_the_next_delivery() {
    let server = start(HAPI).await;
    let saver = saver(&server, |_| {});
    let ours = samples("d1", &[(0, "60")]);
    // What a crash between overwrite and repair leaves behind.
    server.put(samples("d1", &[(3, "63")]).alone());
    server.put(ours.alone());
    let window = |begun_before| Window { turn: Turn { begun_before, ..Turn::UNFENCED }, deadline: soon() };
    let again = saver.save(std::slice::from_ref(&ours), window(None)).await;
    assert_eq!(words(again), "unchanged");
    let long_after = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    let again = saver.save(std::slice::from_ref(&ours), window(Some(long_after))).await;
    assert_eq!(words(again), "unchanged", "nothing was written since then");
    let again = saver.save(std::slice::from_ref(&ours), window(Some(SystemTime::UNIX_EPOCH))).await;
    assert_eq!(words(again), "unchanged", "our readings were in already");
    assert_eq!(data(&server, &ours), "60 E E 63 E E");
}

#[tokio::test]
async fn deleted_observations_stay_deleted_unless_wished() {
    for habits in ALL {
        let server = start(habits).await;
        let ours = || [samples("d1", &[(0, "60")])];
        server.put(samples("d1", &[(3, "63")]).alone());
        server.delete(&ours()[0].path());
        let strict = saver(&server, |_| {});
        assert_eq!(save(&strict, &ours()).await, "ObservationDeleted");
        assert_eq!(server.get(&ours()[0].path()), None);
        let lenient = saver(&server, |options| options.recreate_deleted = true);
        assert_eq!(save(&lenient, &ours()).await, "created");
        assert_eq!(data(&server, &ours()[0]), "60 E E E E E", "what lies before a deletion stays there");
    }
}

#[tokio::test]
async fn a_remembered_observation_that_vanished_is_made_anew() {
    for habits in [SEKMET, AZURE, HAPI] {
        let server = start(habits).await;
        let saver = saver(&server, |_| {});
        save(&saver, &[samples("d1", &[(0, "60")])]).await;
        server.before({
            let mut first = true;
            move |state, seen| {
                if seen.method == "PUT" && std::mem::take(&mut first) {
                    state.forget(&seen.path);
                }
                None
            }
        });
        let outcome = save(&saver, &[samples("d1", &[(5, "65")])]).await;
        // HAPI takes the update and creates it.
        assert_eq!(outcome, if habits.absent == 201 { "merged" } else { "created" }, "{habits:?}");
    }
}

#[tokio::test]
async fn entered_in_error_is_not_touched() {
    let server = start(HAPI).await;
    let mut withdrawn = samples("d1", &[(3, "63")]).alone();
    withdrawn["status"] = json!("entered-in-error");
    server.put(withdrawn.clone());
    let saver = saver(&server, |_| {});
    let drafts = [samples("d1", &[(0, "60")]), samples("d2", &[(0, "60")])];
    let outcome = save(&saver, &drafts).await;
    assert!(outcome.ends_with(";created") && !outcome.starts_with("merged"), "{outcome}");
    assert_eq!(server.get(&drafts[0].path()), Some(withdrawn));
}

/// Puts a member into a draft that strict servers refuse.
struct Bogus(Samples, bool);

impl Draft for Bogus {
    fn id(&self) -> &str {
        self.0.id()
    }
    fn identifier(&self) -> &str {
        self.0.identifier()
    }
    fn create(&self) -> Result<Observation, Reason> {
        let mut json = self.0.alone();
        if self.1 {
            json["bogus"] = json!(1);
        }
        Ok(Observation::read(json.to_string().as_bytes()).unwrap())
    }
    fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason> {
        self.0.merge(existing)
    }
    fn absorb(&self, existing: &Observation, lost: &Observation) -> Result<Option<Observation>, Reason> {
        self.0.absorb(existing, lost)
    }
}

#[tokio::test]
async fn one_bad_observation_stops_no_other() {
    for habits in ALL {
        let server = start(habits).await;
        let client = server.client();
        let saver = Saver::new(client.clone(), SaveOptions::default());
        let draft = |n: usize| Bogus(samples(&format!("d{n}"), &[(0, "60")]), n == 77);
        let drafts: Vec<Bogus> = (0..100).map(draft).collect();
        let outcomes = saver.save(&drafts, Window::until(soon())).await.unwrap();
        for (n, outcome) in outcomes.iter().enumerate() {
            match outcome {
                SaveOutcome::Created => assert_ne!(n, 77),
                SaveOutcome::Rejected(reason) => assert_eq!((n, &*reason.code), (77, "ObservationRefused")),
                other => panic!("{n}: {other:?}"),
            }
        }
        if habits.batch {
            assert!(client.round_trips() < 20, "{}", client.round_trips());
        }
        // The server still takes bundles.
        let before = client.round_trips();
        let more: Vec<Samples> = (0..10).map(|n| samples(&format!("e{n}"), &[(0, "60")])).collect();
        assert!(save(&saver, &more).await.split(';').all(|word| word == "created"));
        assert_eq!(client.round_trips() - before, if habits.batch { 2 } else { 20 });
    }
}

#[tokio::test]
async fn refusals_of_the_data_are_told_apart_from_a_server_that_is_away() {
    let cases = [
        (400, "ObservationRefused"),
        (404, "ReferenceNotFound"),
        (413, "ObservationTooLarge"),
        (422, "ObservationRefused"),
        (412, "ObservationRefused"),
        (401, "away: the FHIR server answers with status 401"),
        (403, "away: the FHIR server answers with status 403"),
        (405, "away: the FHIR server answers with status 405"),
        (429, "away: the FHIR server answers with status 429"),
        (500, "away: the FHIR server answers with status 500"),
    ];
    for (status, expected) in cases {
        for batch in [true, false] {
            let server = start(Habits { batch, ..SEKMET }).await;
            server.before(move |_, seen| (seen.method == "PUT").then(|| (status, vec![], outcome())));
            let drafts = [samples("d1", &[(0, "60")]), samples("d2", &[(0, "60")])];
            let count = if batch { 2 } else { 1 };
            let saved = save(&saver(&server, |_| {}), &drafts[..count]).await;
            let whole = if batch && !expected.starts_with("away") {
                format!("{expected};{expected}")
            } else {
                expected.to_owned()
            };
            assert_eq!(saved, whole, "{status} batch {batch}");
        }
    }
}

/// Found by the tier `faults`: three answers of 409 to one write, within a tenth
/// of a second, had its measurements rejected as if 409 were about the data.
#[tokio::test]
async fn a_conflict_without_another_writer_is_no_refusal_of_the_data() {
    for (conflicts, expected) in [(6, "created;created"), (usize::MAX, "WriteConflict;WriteConflict")] {
        for batch in [true, false] {
            let server = start(Habits { batch, ..SEKMET }).await;
            let mut left = HashMap::new();
            server.before(move |_, seen| {
                let left = left.entry(seen.path.clone()).or_insert(conflicts);
                let conflict = seen.method == "PUT" && *left > 0;
                *left -= usize::from(conflict);
                conflict.then(|| (409, vec![], outcome()))
            });
            let drafts = [samples("d1", &[(0, "60")]), samples("d2", &[(0, "60")])];
            assert_eq!(save(&saver(&server, |_| {}), &drafts).await, expected, "{conflicts} batch {batch}");
        }
    }
}

/// Found by the tier `faults`: a single write that a gateway answered with 200 and
/// a sign-in page ended as `created`, and the Observation was nowhere.
#[tokio::test]
async fn a_page_that_a_gateway_answers_is_no_success() {
    for page in [json!("<html>sign in</html>"), json!({ "message": "back at noon" })] {
        let server = start(Habits { batch: false, ..SEKMET }).await;
        let is_away = Arc::new(AtomicBool::new(true));
        let (answer, away) = (page.clone(), is_away.clone());
        server.before(move |_, seen| {
            let is_page = seen.method == "PUT" && away.load(Ordering::Relaxed);
            is_page.then(|| (200, vec![], answer.clone()))
        });
        let (saver, drafts) = (saver(&server, |_| {}), [samples("d1", &[(0, "60")])]);
        let away = "away: the FHIR server answers with something that is not FHIR JSON";
        assert_eq!(save(&saver, &drafts).await, away, "{page}");
        is_away.store(false, Ordering::Relaxed);
        assert_eq!(save(&saver, &drafts).await, "created", "{page}");
        assert_eq!(data(&server, &drafts[0]), "60 E E E E E", "{page}");
    }
}

/// The same page does not prove that the server is well, and a refusal beside it
/// is not about the data.
#[tokio::test]
async fn a_page_that_a_gateway_answers_proves_nothing() {
    let server = start(Habits { batch: false, ..SEKMET }).await;
    server.before(|_, seen| match seen.method.as_str() {
        "PUT" => Some((404, vec![], json!("no such page"))),
        _ if seen.path.starts_with("metadata") => Some((200, vec![], json!("<html>sign in</html>"))),
        _ => Some((404, vec![], outcome())),
    });
    let saved = save(&saver(&server, |_| {}), &[samples("d1", &[(0, "60")])]).await;
    assert_eq!(saved, "away: the FHIR server answers with something that is not FHIR JSON");
}

#[tokio::test]
async fn a_busy_server_is_waited_for() {
    let server = start(HAPI).await;
    let mut left = 3;
    server.before(move |_, seen| {
        let busy = seen.method == "PUT" && left > 0;
        left -= i32::from(busy);
        busy.then(|| (429, vec![], json!("slow down")))
    });
    let drafts: Vec<Samples> = (0..5).map(|n| samples(&format!("d{n}"), &[(0, "60")])).collect();
    assert_eq!(save(&saver(&server, |_| {}), &drafts).await, "created;created;created;created;created");
}

#[tokio::test]
async fn an_answer_that_got_lost_doubles_nothing() {
    for habits in ALL {
        let server = start(habits).await;
        let saver = saver(&server, |_| {});
        let ours = samples("d1", &[(0, "60")]);
        let mut first = true;
        // The write happens, and a gateway answers in the server's stead.
        server.before(move |state, seen| {
            if seen.method != "PUT" || !std::mem::take(&mut first) {
                return None;
            }
            state.write(seen.body.clone());
            Some((502, vec![], json!(null)))
        });
        let outcome = save(&saver, std::slice::from_ref(&ours)).await;
        assert!(["created", "unchanged"].contains(&outcome.as_str()), "{outcome} {habits:?}");
        assert_eq!(data(&server, &ours), "60 E E E E E");
    }
}

/// The first PUT is done and not answered, and `act` happens before the next
/// request.
fn lose_the_answer_to_the_first_put(server: &Server, act: impl FnOnce(&mut State, &str) + Send + 'static) {
    let (mut act, mut lost) = (Some(act), None::<String>);
    server.before(move |state, seen| {
        if let Some(path) = lost.take()
            && let Some(act) = act.take()
        {
            act(state, &path);
        } else if act.is_some() && seen.method == "PUT" {
            state.write(seen.body.clone());
            lost = Some(seen.path.clone());
            return Some((504, vec![], json!(null)));
        }
        None
    });
}

/// Found by the simulator: a create that was repeated as it was wrote over the
/// note, and brought back what was deleted.
#[tokio::test]
async fn a_write_without_an_answer_is_looked_at_before_it_is_repeated() {
    for habits in ALL {
        let ours = [samples("d1", &[(0, "60")])];
        let server = start(habits).await;
        lose_the_answer_to_the_first_put(&server, |state, _| {
            let mut noted = samples("d1", &[(0, "60")]).alone();
            noted["note"] = json!([{ "text": "seen" }]);
            state.write(noted);
        });
        assert_eq!(save(&saver(&server, |_| {}), &ours).await, "created", "{habits:?}");
        assert_eq!(server.get(&ours[0].path()).unwrap()["note"][0]["text"], "seen", "{habits:?}");
        assert_eq!(server.versions(&ours[0].path()), 2, "{habits:?}");

        let server = start(habits).await;
        lose_the_answer_to_the_first_put(&server, |state, path| state.delete(path));
        assert_eq!(save(&saver(&server, |_| {}), &ours).await, "ObservationDeleted", "{habits:?}");
        assert_eq!(server.get(&ours[0].path()), None, "{habits:?}");
    }
}

/// The same, when that write replaced another writer's version: its answer would
/// have shown it.
#[tokio::test]
async fn a_write_without_an_answer_that_replaced_another_s_is_merged_back() {
    for habits in ALL.into_iter().filter(|habits| !habits.keeps_if_none_match) {
        for is_noted in [false, true] {
            let server = start(habits).await;
            let mut first = true;
            server.before(move |state, seen| {
                if seen.method != "PUT" || !std::mem::take(&mut first) {
                    return None;
                }
                let mut other = samples("d1", &[(3, "63")]).alone();
                other["note"] = json!([{ "text": "seen" }]);
                state.write(other);
                state.write(seen.body.clone());
                if is_noted {
                    let mut later = seen.body.clone();
                    later["note"] = json!([{ "text": "later" }]);
                    state.write(later);
                }
                Some((504, vec![], json!(null)))
            });
            let ours = [samples("d1", &[(0, "60")])];
            assert_eq!(save(&saver(&server, |_| {}), &ours).await, "created", "{habits:?}");
            assert_eq!(data(&server, &ours[0]), "60 E E 63 E E", "{habits:?}");
            let note = if is_noted { "later" } else { "seen" };
            assert_eq!(server.get(&ours[0].path()).unwrap()["note"][0]["text"], note, "{habits:?}");
        }
    }
}

/// Found by the simulator: what had been seen before such a write counted on,
/// and a later reading was taken for one that is there.
#[tokio::test]
async fn a_write_without_an_answer_leaves_no_memory_of_what_was_before() {
    for habits in ALL {
        let server = start(habits).await;
        let saver = saver(&server, |_| {});
        let window = async |value: &str| save(&saver, &[samples("d1", &[(0, value)])]).await;
        assert_eq!(window("60").await, "created");
        // Done, and then the server is away for the rest of the window.
        server.before(|state, seen| {
            if seen.method == "PUT" {
                state.write(seen.body.clone());
            }
            Some((504, vec![], json!(null)))
        });
        assert!(window("61").await.starts_with("away"), "{habits:?}");
        server.before(|_, _| None);
        assert_eq!(window("60").await, "merged", "{habits:?}");
        assert_eq!(data(&server, &samples("d1", &[])), "60 E E E E E", "{habits:?}");
    }
}

#[tokio::test]
async fn legacy_observations_are_found_when_asked_for() {
    let server = start(HAPI).await;
    let ours = || samples("d1", &[(0, "60")]);
    let mut old = samples("d1", &[(3, "63")]).alone();
    old["id"] = json!("chosen-by-the-server");
    let mut resembling = old.clone();
    resembling["id"] = json!("resembling");
    resembling["identifier"][0]["value"] = json!(ours().identifier.to_uppercase());
    server.put(old);
    server.put(resembling);
    assert_eq!(ours().alone()["identifier"][0]["system"], SERVICE_SYSTEM);
    let legacy = saver(&server, |options| options.legacy_ids = true);
    assert_eq!(save(&legacy, &[ours(), samples("d2", &[(0, "1")])]).await, "merged;created");
    let stored = server.get("Observation/chosen-by-the-server").unwrap();
    assert_eq!(stored["valueSampledData"]["data"], "60 E E 63 E E");
    assert_eq!(server.get(&ours().path()), None);
    let plain = saver(&server, |_| {});
    assert_eq!(save(&plain, &[ours()]).await, "created");
}

/// Holds for so many writes, and says who the owner is when asked.
struct Lent {
    writes: AtomicI64,
    confirms: Result<bool, ()>,
}

impl Lent {
    fn holds_for(writes: i64) -> Lent {
        Lent { writes: AtomicI64::new(writes), confirms: Ok(true) }
    }

    fn turn(&self) -> Turn<'_> {
        Turn { fence: self, ..Turn::UNFENCED }
    }
}

impl Fence for Lent {
    fn holds(&self) -> bool {
        self.writes.fetch_sub(1, Ordering::SeqCst) > 0
    }

    fn confirm(&self) -> BoxFuture<'_, Result<bool, Away>> {
        ready(self.confirms.map_err(|()| Away::new("the ownership of the partition", "no answer"))).boxed()
    }
}

const NOT_OURS: &str = "away: the partition may belong to another process";

/// Design.md D13: no PUT once the fence does not hold.
#[tokio::test]
async fn writes_nothing_once_the_partition_may_be_another_s() {
    for (batch, holds_for, written) in [(true, 0, 0), (true, 1, 2), (false, 3, 3)] {
        let server = start(Habits { batch, ..HAPI }).await;
        let mut options = server.options();
        (options.bundle_entries_max, options.concurrency_max) = (2, 1);
        let saver = Saver::new(Arc::new(Client::new(options, None).unwrap()), SaveOptions::default());
        let fence = Lent::holds_for(holds_for);
        let drafts: Vec<Samples> = (0..6).map(|n| samples(&format!("d{n}"), &[(0, "60")])).collect();
        let window = Window { turn: fence.turn(), deadline: soon() };
        assert_eq!(words(saver.save(&drafts, window).await), NOT_OURS);
        let there = drafts.iter().filter(|draft| server.get(&draft.path()).is_some()).count();
        assert_eq!(there, written, "batch {batch}");
    }
}

/// A repetition is a write like any other.
#[tokio::test]
async fn repeats_no_write_once_the_partition_may_be_another_s() {
    let server = start(HAPI).await;
    server.before(|_, seen| (seen.method == "PUT").then(|| (503, vec![], outcome())));
    let (saver, fence) = (saver(&server, |_| {}), Lent::holds_for(1));
    let window = Window { turn: fence.turn(), deadline: soon() };
    assert_eq!(words(saver.save(&[samples("d1", &[(0, "60")])], window).await), NOT_OURS);
    assert_eq!(server.requests().iter().filter(|request| request.starts_with("PUT")).count(), 1);
}

/// Design.md D13: after a conflict or an overwrite the Observation is read
/// again, and then it is asked who the owner is.
/// Found by the simulator: a slow create came over what the next owner had
/// written, and whoever had sent it saw that and let it be, as not the owner.
#[tokio::test]
async fn what_was_replaced_is_put_back_also_when_the_partition_is_another_s() {
    for habits in ALL.into_iter().filter(|habits| !habits.keeps_if_none_match) {
        let server = start(habits).await;
        let other = samples("d1", &[(0, "60"), (3, "63")]);
        let written = other.alone();
        before_first_put(&server, other.path(), move |state| state.write(written.clone()));
        let lent = Lent { confirms: Ok(false), ..Lent::holds_for(1) };
        let window = Window { turn: lent.turn(), deadline: soon() };
        let saved = saver(&server, |_| {}).save(&[samples("d1", &[(0, "60"), (1, "61")])], window).await;
        assert!(matches!(saved, Err(fhir_client::ServerAway::NotOwner)), "{habits:?}: {saved:?}");
        assert_eq!(data(&server, &other), "60 E E 63 E E", "{habits:?}: the owner's, and nothing of ours");
    }
}

#[tokio::test]
async fn asks_for_the_owner_when_another_writer_shows_itself() {
    let cases = [
        // The third puts back what the second replaced.
        (HAPI, Ok(false), NOT_OURS, 3),
        (UUID, Ok(false), NOT_OURS, 1),
        (HAPI, Err(()), "away: whom the partition belongs to cannot be found out", 2),
        (UUID, Ok(true), "merged", 2),
    ];
    for (habits, confirms, expected, versions) in cases {
        let server = start(habits).await;
        let (saver, ours) = (saver(&server, |_| {}), samples("d1", &[(0, "60")]));
        let other = samples("d1", &[(3, "63")]).alone();
        before_first_put(&server, ours.path(), move |state| state.write(other.clone()));
        let fence = Lent { confirms, ..Lent::holds_for(100) };
        let window = Window { turn: fence.turn(), deadline: soon() };
        assert_eq!(words(saver.save(std::slice::from_ref(&ours), window).await), expected);
        assert_eq!(server.versions(&ours.path()), versions, "{expected}");
    }
}

/// Design.md D13: what was seen counts within one term of ownership.
#[tokio::test]
async fn what_was_seen_in_another_term_is_read_again() {
    let server = start(HAPI).await;
    let client = server.client();
    let saver = Saver::new(client.clone(), SaveOptions::default());
    let ours = [samples("d1", &[(0, "60")])];
    let in_term = async |term| {
        let before = client.round_trips();
        let window = Window { turn: Turn { term, ..Turn::UNFENCED }, deadline: soon() };
        (words(saver.save(&ours, window).await), client.round_trips() - before)
    };
    assert_eq!(in_term(1).await, ("created".to_owned(), 2));
    assert_eq!(in_term(1).await, ("unchanged".to_owned(), 0));
    // Another owner has put it right since; only a read shows it.
    server.put(samples("d1", &[(0, "61")]).alone());
    assert_eq!(in_term(1).await, ("unchanged".to_owned(), 0));
    assert_eq!(in_term(2).await, ("merged".to_owned(), 2));
}

#[tokio::test]
async fn what_answers_the_same_to_everything_rejects_nothing() {
    for status in [400, 404, 422] {
        let server = start(HAPI).await;
        server.before(move |_, _| Some((status, vec![], json!({}))));
        let saver = Saver::new(Arc::new(Client::new(server.options(), None).unwrap()), SaveOptions::default());
        let saved = save(&saver, &[samples("d1", &[(0, "60")]), samples("d2", &[(0, "60")])]).await;
        assert_eq!(saved, format!("away: the FHIR server answers with status {status}"));
    }
}

/// The server was well until we wrote; what we wrote is good.
#[tokio::test]
async fn a_gateway_that_begins_to_refuse_everything_rejects_nothing() {
    for batch in [true, false] {
        let server = start(Habits { batch, ..HAPI }).await;
        let saver = saver(&server, |_| {});
        let drafts = |value| [samples("d1", &[(0, value)]), samples("d2", &[(0, value)])];
        assert_eq!(save(&saver, &drafts("60")).await, "created;created");
        server.before(|_, _| Some((400, vec![], outcome())));
        let away = "away: the FHIR server answers with status 400";
        assert_eq!(save(&saver, &drafts("61")).await, away, "batch {batch}");
        server.before(|_, _| None);
        assert_eq!(save(&saver, &drafts("61")).await, "merged;merged");
    }
}
