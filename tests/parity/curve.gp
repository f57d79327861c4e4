# gnuplot -e "out='DIR'" curve.gp: DIR/curve.png from the tables that parity.py wrote
set datafile separator ','
set terminal pngcairo size 1200,480 font 'sans,11'
set output out.'/curve.png'
set key autotitle columnhead
set multiplot layout 1,2
set title 'loss of each step'
set xlabel 'step'
plot out.'/steps.csv' using 1:2 with lines lw 1 title 'Lathe', '' using 1:3 with lines lw 1 title 'PyTorch'
set title 'test accuracy, %'
set xlabel 'epoch'
set key bottom
plot out.'/curve.csv' using 1:11 with linespoints title 'Lathe', '' using 1:12 with linespoints title 'PyTorch', \
     '' using 1:13 with linespoints dt 2 title 'Lathe, another seed'
