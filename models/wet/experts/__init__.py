"""The panel: scorers of different makes that keep to one contract (`contract`), and the rules that join them."""
