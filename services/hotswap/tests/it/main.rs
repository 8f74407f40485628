//! The binary as a user meets it: real processes, real sockets, real files.

#![cfg(test)]

mod audit;
mod client;
mod collector;
mod commands;
mod dashboards;
mod golden;
mod harness;
mod limits;
mod permissions;
mod provider;
mod replicas;
mod rollout_cli;
mod rollouts;
mod scale;
mod secrets;
mod start;
mod suite;
mod telemetry;
mod terminal;
mod tls;
