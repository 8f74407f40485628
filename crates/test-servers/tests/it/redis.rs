//! Redis: ends of every kind.

use hotswap_test_servers::Redis;

use crate::there;

#[test]
fn a_killed_server_comes_back_at_its_address_and_forgets_what_was_not_saved() {
    let Some(mut redis) = there(Redis::start()) else { return };
    let url = redis.url();
    assert_eq!(redis.command(&["SET", "saved", "1"]).expect("sets"), "OK");
    assert_eq!(redis.command(&["SAVE"]).expect("saves"), "OK");
    redis.command(&["SET", "not", "1"]).expect("sets");
    redis.kill().expect("kills");
    assert!(redis.command(&["PING"]).is_err(), "it is down");
    redis.start_again().expect("starts");
    assert_eq!(redis.url(), url);
    assert_eq!(redis.command(&["MGET", "saved", "not"]).expect("gets"), "1\n(nil)");
    redis.stop().expect("stops");
}

#[test]
fn an_error_is_told_with_the_command() {
    let Some(redis) = there(Redis::start()) else { return };
    let error = redis.command(&["INCR"]).expect_err("too few").to_string();
    assert!(error.starts_with("redis, INCR: ERR wrong number of arguments"), "{error}");
}
