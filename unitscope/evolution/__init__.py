"""Evolution of units during training (paper, Fig. 4): the strongest activation of each unit, epoch by epoch."""
