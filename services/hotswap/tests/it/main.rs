//! The binary as a user meets it: real processes, real sockets, real files.

#![cfg(test)]

mod client;
mod commands;
mod harness;
mod permissions;
mod provider;
mod replicas;
mod scale;
mod start;
mod suite;
mod telemetry;
mod terminal;
