"""Prices of a shop, in cents."""


def cents(price):
    # TODO: is this right for every price?
    return int(float(price) * 100)


def total(prices, tax_percent):
    net = sum(cents(price) for price in prices)
    return round(net * (100 + tax_percent) / 100)
