"""The same buyer in a program without an event loop: the same names, and no `await`."""

import sys

from messages import ADDRESS, Buyer, Invoice, Order, Payment, Shipment, purchase

from convpolicy import Bus, ConvPolicyError, Memory


def buy(via: Bus | Memory, order: Order) -> str:
    """Order, pay when the invoice comes, and return what was shipped."""
    with purchase.join_blocking(Buyer, via=via, timeout=3) as conversation:
        conversation.send(order)
        invoice = conversation.receive(Invoice, timeout=5)  # a shipment that comes first is kept
        print(f"Buyer received {invoice}")
        conversation.send(Payment(invoice.amount))
        shipment = conversation.receive(Shipment, timeout=5)
        print(f"Buyer received {shipment}")
    return shipment.tracking


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        buy(Bus(address), Order("table", 1))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
