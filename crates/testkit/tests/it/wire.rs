//! A network with faults, before a server that sends back what it gets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use hotswap_testkit::{Redis, Wire, required};

/// Sends back each byte, with `plus` added.
fn echo(plus: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("address");
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    if stream.write_all(&[byte[0] + plus]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    let mut answer = [0];
    stream.write_all(&[byte])?;
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

fn connect(wire: &Wire) -> TcpStream {
    TcpStream::connect(wire.address()).expect("connects")
}

#[test]
fn what_goes_through_is_counted() {
    let wire = Wire::to(echo(0));
    let mut stream = connect(&wire);
    assert_eq!(ask(&mut stream, 7).expect("answers"), 7);
    while wire.bytes() < 2 {
        // The count of the answer may come after the answer.
        thread::yield_now();
    }
    assert_eq!((wire.connections(), wire.connections_made(), wire.bytes()), (1, 1, 2));
}

#[test]
fn a_cut_wire_ends_connections_and_takes_new_ones_when_it_is_restored() {
    let wire = Wire::to(echo(0));
    let mut stream = connect(&wire);
    ask(&mut stream, 1).expect("answers");
    wire.cut();
    assert!(ask(&mut stream, 1).is_err(), "it is reset");
    assert!(TcpStream::connect(wire.address()).and_then(|mut s| ask(&mut s, 1)).is_err(), "a new one too");
    wire.restore();
    assert!(ask(&mut stream, 1).is_err(), "what was cut stays cut");
    assert_eq!(ask(&mut connect(&wire), 1).expect("answers"), 1);
}

#[test]
fn a_frozen_wire_loses_nothing_when_it_is_restored_and_all_when_it_is_cut() {
    let wire = Wire::to(echo(0));
    let (mut kept, mut lost) = (connect(&wire), connect(&wire));
    ask(&mut kept, 1).expect("answers");
    ask(&mut lost, 1).expect("answers");
    wire.freeze();
    kept.write_all(&[2]).expect("is accepted");
    kept.set_read_timeout(Some(Duration::from_millis(30))).expect("sets");
    assert!(kept.read_exact(&mut [0]).is_err(), "nothing arrives");
    wire.restore();
    kept.set_read_timeout(None).expect("sets");
    let mut answer = [0];
    kept.read_exact(&mut answer).expect("arrives");
    assert_eq!(answer, [2]);
    wire.freeze();
    lost.write_all(&[3]).expect("is accepted");
    wire.cut();
    wire.restore();
    assert!(lost.read_exact(&mut [0]).is_err(), "it is lost");
}

#[test]
fn a_wire_leads_new_connections_elsewhere() {
    let wire = Wire::to(echo(0));
    let mut before = connect(&wire);
    assert_eq!(ask(&mut before, 1).expect("answers"), 1);
    wire.lead_to(echo(1));
    assert_eq!(ask(&mut before, 1).expect("answers"), 1);
    assert_eq!(ask(&mut connect(&wire), 1).expect("answers"), 2);
}

#[test]
fn a_slow_wire_is_slow_and_loses_nothing() {
    let wire = Wire::to(echo(0));
    wire.delay(Duration::from_millis(1));
    let mut stream = connect(&wire);
    for byte in 0..10 {
        assert_eq!(ask(&mut stream, byte).expect("answers"), byte);
    }
}

#[test]
fn a_wire_leads_to_a_socket_in_the_file_system() {
    let Some(redis) = required(Redis::start()) else { return };
    let wire = Wire::to(redis.socket());
    let mut stream = connect(&wire);
    stream.write_all(b"PING\r\n").expect("sends");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("answers");
    assert_eq!(&answer, b"+PONG\r\n");
}
