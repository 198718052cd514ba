//! What a killed extension leaves in the kernel's table does not hold up its successor.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use weir_tests::cluster::shared;
use weir_tests::raw::Raw;
use weir_tests::relay::{Fault, Side};
use weir_tests::sockets::{can_count, of_process};
use weir_tests::wait::{LIMIT, until_true};

use crate::support::{Service, extension, insert, works};

/// More than an extension has slots.
const ORPHANS: usize = 4;
/// Far less than the kernel keeps them.
const SOON: Duration = Duration::from_secs(5);

/// Closes connections whose bytes nobody reads: their flow is as forgotten.
async fn leave_orphans(service: &Service) -> Result<()> {
    let address = service.relay.address();
    for number in 0..ORPHANS {
        let mut stream = TcpStream::connect(address)?;
        until_true("the relay to accept", LIMIT, || {
            service.counts().open == number + 1
        })
        .await?;
        ensure!(service.relay.hurt(number, Side::Requests, Fault::Stall));
        stream.set_nonblocking(true)?;
        let full = loop {
            if let Err(error) = stream.write(&[0; 65_536]) {
                break error;
            }
        };
        ensure!(full.kind() == ErrorKind::WouldBlock, "{full}");
    }
    ensure!(orphans(address.port())? >= ORPHANS, "no orphans");
    Ok(())
}

fn orphans(port: u16) -> Result<usize> {
    let counts = of_process(std::process::id(), &[port])?;
    Ok(counts.values().map(|count| count.orphans).sum())
}

#[tokio::test]
async fn a_successor_does_not_wait_for_what_a_killed_extension_left() -> Result<()> {
    if !can_count() {
        return Ok(());
    }
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    leave_orphans(&service).await?;
    let began = Instant::now();
    let (uri, name) = (cluster.uri(), service.name());
    let (_api, extension) = extension(&[("DB", &uri), ("WEIR_SERVICE", &name)]).await?;
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("orphans", "a successor")).await?;
    let took = began.elapsed();
    let left = orphans(service.relay.address().port())?;
    println!("served after {took:?}, beside {left} orphans");
    ensure!(took < SOON, "{took:?}");
    ensure!(left >= ORPHANS, "{left} orphans: nothing was in the way");
    Ok(())
}
