"""Commands that submit jobs and watch over them."""
