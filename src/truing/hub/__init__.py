"""Cards, gates and push: what goes to the Hub carries its proof."""
