//! placeholder
use super::StoreError;
use super::connection::Tx;
use crate::model::clock::Timestamp;
use crate::model::phone::Phone;
use crate::model::suppression::Reason;
pub(super) async fn suppress_in(
    _tx: &mut Tx,
    _rows: &[(Phone, &str, Reason, &str)],
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}
pub(super) async fn lift_in(
    _tx: &mut Tx,
    _phone: Phone,
    _by: &str,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}
