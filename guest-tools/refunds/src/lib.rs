//! The orders of a shop that is made up, and a payment that stands in for one: an example of a call that a person should
//! approve. Nothing is paid.

#[tool_sdk::component]
mod refunds {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    const ORDERS: [Order; 3] = [
        Order {
            number: "A-1001",
            customer: "Ada",
            bought: "kettle",
            paid_usd: 49.9,
            state: "arrived broken",
        },
        Order { number: "A-1002", customer: "Brendan", bought: "lamp", paid_usd: 120.0, state: "delivered" },
        Order {
            number: "A-1003",
            customer: "Grace",
            bought: "umbrella",
            paid_usd: 25.0,
            state: "on its way",
        },
    ];

    /// Which order.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Query {
        /// Its number, such as "A-1001".
        order: String,
    }

    /// An order.
    #[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
    pub struct Order {
        number: &'static str,
        customer: &'static str,
        bought: &'static str,
        paid_usd: f64,
        state: &'static str,
    }

    /// What to pay back.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Refund {
        /// The number of the order.
        order: String,
        /// How much, in US dollars.
        amount_usd: f64,
    }

    /// What was paid back.
    #[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
    pub struct Paid {
        order: &'static str,
        refunded_usd: f64,
        receipt: String,
    }

    /// Looks up an order: who ordered what, what was paid, and what became of it.
    pub fn find_order(query: Query) -> Result<Order, ToolError> {
        find(&query.order)
    }

    /// Pays a part or all of an order back to the customer.
    pub fn pay_refund(refund: Refund) -> Result<Paid, ToolError> {
        let Order { number: order, paid_usd: paid, .. } = find(&refund.order)?;
        let amount = refund.amount_usd;
        if !(amount > 0.0 && amount <= paid) {
            let message =
                format!("amount_usd has to be above 0 and at most {paid}, which was paid for {order}");
            return Err(ToolError::InvalidInput(message));
        }
        Ok(Paid { order, refunded_usd: amount, receipt: format!("R-{}", &order[2..]) })
    }

    fn find(number: &str) -> Result<Order, ToolError> {
        let unknown = || ToolError::Failed(format!("there is no order {number:?}"));
        ORDERS.into_iter().find(|order| order.number == number).ok_or_else(unknown)
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)]

        use super::*;

        fn pay(order: &str, amount_usd: f64) -> Result<Paid, ToolError> {
            pay_refund(Refund { order: order.to_owned(), amount_usd })
        }

        #[test]
        fn what_was_paid_can_be_paid_back_and_no_more() {
            assert_eq!(pay("A-1001", 49.9).unwrap().receipt, "R-1001");
            for amount in [0.0, -1.0, 49.91, f64::NAN, f64::INFINITY] {
                assert!(matches!(pay("A-1001", amount), Err(ToolError::InvalidInput(_))), "{amount}");
            }
        }

        #[test]
        fn an_order_that_is_not_there_is_named() {
            let Err(ToolError::Failed(said)) = find_order(Query { order: "B-1".to_owned() }) else {
                panic!()
            };
            assert!(said.contains("\"B-1\""));
        }
    }
}
