"""Figures: one file each, registered in `write.FIGURES`. seaborn is imported when the first one is plotted."""
