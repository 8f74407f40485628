//! Slack as it is called.

use hotswap_core::Timestamp;
use hotswap_notify::{DeliveryState, Message};
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::support::{BEGINNING, Place};

#[tokio::test]
async fn a_message_comes_in_blocks_with_text_beside_and_without_mentions_from_values() {
    let place = Place::sqlite();
    let (db, receiver) = (place.db().await, Receiver::start([]).await);
    let url = place.file("url", &receiver.url("/services/T0/B0/x"));
    let data = json!({ "reason": "<!channel> & more", "rollout": "rollouts/1" });
    let message =
        Message::new("k", "rollout.rolled_back", "routes/a<b>", Timestamp(BEGINNING), data).expect("valid");
    place.put(&db, &message).await;
    let sender =
        place.sender(&db, &format!("[[channels]]\nkind = \"slack\"\nid = \"s\"\nurl_file = \"{url}\"\n"));
    place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;

    let call = receiver.calls().remove(0);
    assert_eq!(call.path, "/services/T0/B0/x");
    let body: Value = serde_json::from_str(&call.body).expect("JSON");
    assert_eq!(body["text"], "Rolled back: routes/a&lt;b&gt;");
    let kinds: Vec<_> =
        body["blocks"].as_array().expect("blocks").iter().map(|b| b["type"].clone()).collect();
    assert_eq!(kinds, ["header", "section", "context"]);
    let text = body["blocks"][1]["text"]["text"].as_str().expect("text");
    assert!(text.contains("Reason: &lt;!channel&gt; &amp; more\n"), "{text}");
    assert!(text.contains("Rollout: rollouts/1\n"), "{text}");
}

#[tokio::test]
async fn a_template_that_fails_sends_the_data_counts_it_and_loses_nothing() {
    let place = Place::sqlite();
    let (db, receiver) = (place.db().await, Receiver::start([]).await);
    let url = place.file("url", &receiver.url("/x"));
    let folder = place.dir.path().join("templates");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("rollout.started.j2"), "{{ data.no.such.thing }}\n").expect("written");
    let config = format!(
        "templates = \"{}\"\n[[channels]]\nkind = \"slack\"\nid = \"s\"\nurl_file = \"{url}\"\n",
        folder.display()
    );
    place.put(&db, &crate::support::message("k", "rollout.started")).await;
    let sender = place.sender(&db, &config);
    place.until(&db, "k", DeliveryState::Sent).await;
    assert!(sender.metrics().contains("hotswap_notify_template_faults_total 1"));
    sender.stop().await;
    let body = receiver.calls().remove(0).body;
    assert!(body.contains("errors rose by 7 points"), "{body}");
}
