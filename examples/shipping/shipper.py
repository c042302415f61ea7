"""The shipper: `python shipper.py [BUS]` carries parcels from sellers to buyers, until Ctrl-C."""

import sys
from collections.abc import Iterator

from messages import Delivered, NoParcel, Parcel, Shipment, Shipper, bus, shipping

from convpolicy import ConvPolicyError

shipper = shipping.service(Shipper)


@shipper.on(Parcel)
def carry(parcel: Parcel) -> Iterator[Shipment | Delivered]:
    """Tell the buyer that it comes, and the seller that it has come."""
    print(f"Shipper received {parcel}")
    tracking = f"1Z to {parcel.address}"
    yield Shipment(tracking)
    yield Delivered(tracking)


@shipper.on(NoParcel)
def rest(no_parcel: NoParcel) -> None:
    """Wait for nothing."""
    print(f"Shipper received {no_parcel}")


if __name__ == "__main__":
    try:
        shipper.run(via=bus(), started=lambda url: print(f"Shipper is connected to {url}", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
