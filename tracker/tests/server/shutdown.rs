//! A tracker that stops says so.

use tokio::net::TcpStream;

use crate::support::Tracker;

#[tokio::test]
async fn everybody_is_told_and_closed() {
    let tracker = Tracker::start().await;
    let address = tracker.address;
    let mut member = tracker.member(1).await;
    let mut silent = tracker.connect().await;
    let idle = TcpStream::connect(address).await.unwrap();
    let told = async {
        for peer in [&mut member, &mut silent] {
            assert!(peer.shutting_down().await > 0);
        }
        assert_eq!(member.closed().await, Some(1001));
        assert_eq!(silent.closed().await, Some(1001));
    };
    tokio::join!(tracker.stop(), told);
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}
